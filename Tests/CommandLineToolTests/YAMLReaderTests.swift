import JSONText
import ModelCompression
import XCTest

@testable import CommandLineTool

/// YAML of configuration files; `python/tests/packages/test_command_line.py` compares it with PyYAML.
final class YAMLReaderTests: XCTestCase {
    private func check(_ text: String, _ json: String, file: StaticString = #filePath, line: UInt = #line) throws {
        let expected = try JSONDecoder().decode(JSONValue.self, from: Data(json.utf8))
        XCTAssertEqual(try YAMLReader.read(text), expected, file: file, line: line)
    }

    func testBlockCollections() throws {
        try check(
            """
            # A comment.
            config_type: OpPalettizerConfig   # another

            global_config:
              mode: "kmeans"
              nbits: 4
            op_type_configs:
                conv: {mode: uniform, nbits: 1}
                linear: null
                matmul:
            """,
            """
            {"config_type": "OpPalettizerConfig", "global_config": {"mode": "kmeans", "nbits": 4},
             "op_type_configs": {"conv": {"mode": "uniform", "nbits": 1}, "linear": null, "matmul": null}}
            """)
        try check(
            "a:\n- 1\n- - 2\n  - 3\n- x: 1\n  y: 2\n-\nb:\n  - 4\n",
            #"{"a": [1, [2, 3], {"x": 1, "y": 2}, null], "b": [4]}"#)
        try check("---\na: 1\n...\n", #"{"a": 1}"#)
        try check("%YAML 1.1\n---\n- 1\r\n- 2\r\n", "[1, 2]")
        try check("\u{feff}a:   \n  # only a comment\n  b: 1", #"{"a": {"b": 1}}"#)
        try check("", "null")
        try check("# nothing\n", "null")
        try check("? 'a\n  b'\n: 1\nc: 2\n? d\n: - 3\n", #"{"a b": 1, "c": 2, "d": [3]}"#)
        try check("{? a : 1, b: 2}", #"{"a": 1, "b": 2}"#)
        try check("just text", #""just text""#)
    }

    func testFlowCollections() throws {
        try check("[]", "[]")
        try check("{}", "{}")
        try check("[1, 2, ]", "[1, 2]")
        try check(
            "{a: [1,\n  2], 'b c': {d: , e}, \"f\":1, g: x:y}  # end",
            #"{"a": [1, 2], "b c": {"d": null, "e": null}, "f": 1, "g": "x:y"}"#)
        try check("a: {\n\tb: 1 # comment\n}", #"{"a": {"b": 1}}"#)
    }

    func testScalars() throws {
        try check("[~, null, Null, yes, Off, TRUE, truE]", #"[null, null, null, true, false, true, "truE"]"#)
        try check("[1, -2, +3, 1_000, 0x1F, 0b101, 010, 0, 08]", #"[1, -2, 3, 1000, 31, 5, 8, 0, "08"]"#)
        try check("[1.5, -.5, 1e-3, 1.5E-2, 1.2.3, -, .]", #"[1.5, -0.5, 0.001, 0.015, "1.2.3", "-", "."]"#)
        XCTAssertEqual(try YAMLReader.read("[1., 1e3]"), .array([.double(1), .double(1000)]))
        try check("[a#b, a b, -x, ?y, :z, http://x]", #"["a#b", "a b", "-x", "?y", ":z", "http://x"]"#)
        XCTAssertEqual(try YAMLReader.read("-.inf"), .double(-.infinity))
        try check(#"'it''s # not: a comment'"#, #""it's # not: a comment""#)
        try check(#""tab\t \"quoted\" \\ \u00e9\x41\U0001F600""#, #""tab\t \"quoted\" \\ éA😀""#)
        try check("'one\n  two\n\n  three'", #""one two\nthree""#)
        try check("\"one \\\n   two\"", #""one two""#)
        try check("'4'", #""4""#)
    }

    func testAnchorsAndMerges() throws {
        try check(
            "base: &base {nbits: 4, mode: kmeans}\nconv:\n  <<: *base\n  nbits: 6\nlinear: *base\n",
            """
            {"base": {"nbits": 4, "mode": "kmeans"}, "conv": {"nbits": 6, "mode": "kmeans"},
             "linear": {"nbits": 4, "mode": "kmeans"}}
            """)
        try check(
            "a: &x\n  b: 1\nc: [*x, &y 2, *y]\n<<: [{d: 1}, {d: 2, e: 3}]",
            #"{"a": {"b": 1}, "c": [{"b": 1}, 2, 2], "d": 1, "e": 3}"#)
    }

    func testWhatIsRefused() {
        let cases: [(String, Int, Int, String)] = [
            ("a: 1\na: 2", 2, 2, "the key \"a\" a second time"),
            ("a: b: c", 1, 5, "\": \" inside a value"),
            ("a: 1\n b: 2", 2, 2, "goes on from the line before"),
            ("a:\n    b: 1\n  c: 2", 3, 3, "further right"),
            ("a:\n\tb: 1", 2, 2, "a tab in the indentation"),
            ("a: [1, 2", 1, 9, "no \",\" or \"]\""),
            ("a: 'x", 1, 4, "without its closing '"),
            ("a: !!int 4", 1, 4, "a tag"),
            ("a: |\n  x", 1, 4, "a | text"),
            ("? a", 1, 4, "no \":\" after a key"),
            ("a: ? b", 1, 4, "a ? key"),
            ("a: *b", 1, 5, "an anchor &b before"),
            ("ratio: 2:4", 1, 11, "a number in base 60"),
            ("4: a", 1, 2, "the key 4, which is no text"),
            ("a: 1\n---\nb: 2", 2, 1, "a second document"),
            ("a\nb", 2, 1, "goes on from the line before"),
            ("\"\\q\"", 1, 2, "the unknown escape \\q"),
            ("a: \"x\" y", 1, 8, "more text"),
            ("a: [1]: 2", 1, 7, "more text"),
            ("a: @x", 1, 4, "found @"),
            ("<<: 1", 1, 3, "<< with something else"),
            ("a: 1\nb", 2, 2, "no \":\" after a key"),
        ]
        for (text, line, column, message) in cases {
            XCTAssertThrowsError(try YAMLReader.read(text), text) { error in
                guard let error = error as? YAMLError else { return XCTFail("\(error)") }
                XCTAssertTrue(error.message.contains(message), "\(text): \(error.message)")
                XCTAssertEqual([error.line, error.column], [line, column], text)
            }
        }
        XCTAssertThrowsError(try YAMLReader.read(String(repeating: "[", count: 1000)))
        XCTAssertThrowsError(try YAMLReader.read(String(repeating: "- ", count: 1000) + "x"))
    }

    func testEveryPrefixEnds() {
        let text = "a: &x {b: [1, 'c', \"\\u00e9\"], d: *x}\ne:\n- f: g # h\n  i:\n    j: 'k\n      l'\n<<: {m: 1}\n"
        let scalars = Array(text.unicodeScalars)
        for end in 0...scalars.count {
            var prefix = ""
            prefix.unicodeScalars.append(contentsOf: scalars[..<end])
            _ = try? YAMLReader.read(prefix)
        }
    }
}
