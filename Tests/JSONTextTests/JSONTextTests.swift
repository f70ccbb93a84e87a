import Foundation
import JSONText
import XCTest

/// Foundation's coders are the reference.
final class JSONTextTests: XCTestCase {
    private struct Everything: Encodable {
        struct Nothing: Encodable {}

        var text = "a/\"\\\u{1}\u{1f}\u{7f}\u{8}\u{c}\n\r\t\u{2028}é😀"
        var doubles = [1.0, 0.1, 1e300, 1e-7, -0.0, 123_456_789_012_345_680.0, .leastNonzeroMagnitude, 1e16, 1e15]
        var floats: [Float] = [0.1, 1e-10, 16_777_216]
        var integers: [UInt64] = [0, .max]
        var small: [Int8] = [-128, 127]
        var nested: [[Int]] = [[1], []]
        var truth = [true, false]
        var absent: Int?
        var holes: [Int?] = [nil, 1]
        var empty: [String: Int] = [:]
        var nothing = Nothing()
        var value = JSONValue.object(["a": .array([.null, .bool(true), .int(1), .double(0.5), .string("")])])
        var names = [
            "b": 1, "B": 2, "a10": 3, "a9": 4, "a_": 5, "aB": 6, "é": 7, "e": 8, "Z": 9, "_": 1, "": 2, "e\u{301}x": 3,
            "/": 4,
        ]
    }

    func testWritesAsFoundationDoes() throws {
        for pretty in [false, true] {
            for escapesSlashes in [false, true] {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys]
                if pretty { encoder.outputFormatting.insert(.prettyPrinted) }
                if !escapesSlashes { encoder.outputFormatting.insert(.withoutEscapingSlashes) }
                let ours = try JSONWriter.write(Everything(), pretty: pretty, escapesSlashes: escapesSlashes)
                XCTAssertEqual(
                    String(decoding: ours, as: UTF8.self),
                    String(decoding: try encoder.encode(Everything()), as: UTF8.self))
            }
        }
        XCTAssertEqual(try JSONWriter.write(Int?.none), Array("null".utf8))
        XCTAssertThrowsError(try JSONWriter.write([Double.nan]))
        XCTAssertThrowsError(try JSONWriter.write([-Float.infinity]))
    }

    func testReadsAsFoundationDoes() throws {
        let texts = [
            "1", "-0", "-0.0", "1.0", "1e2", "1E+2", "1.5e1", "0.1e-1", "9223372036854775807", "9223372036854775808",
            "-9223372036854775808", "123456789012345678901234567890", "true", "false", "null", " [ 1 , 2 ]\r\n\t", "[]",
            "{}", "[[]]", "{\"a\":{\"b\":[]}}", "\"\"", #"{"a":"1","a":"2"}"#, #""\ud83d\ude00\u0041\u00e9""#,
            #""\u0000\/\b\f\n\r\t\"\\x""#, "\"\u{7f}é😀\"", "\u{feff}[1]", #"{ "a" : "x\ny" , "b" : null }"#,
            String(repeating: "[", count: 512) + String(repeating: "]", count: 512),
        ]
        for text in texts {
            let expected = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
            XCTAssertEqual(try JSONValue(json: Array(text.utf8)), expected, text)
        }
    }

    func testRefuses() {
        let texts = [
            "", " ", "01", "1.", ".5", "+1", "-", "1e", "1e+", "1e400", "NaN", "Infinity", "1 2", "[1] x", "[1]\0",
            "[1",
            "[1 2]", "[,]", "{a:1}", #"{"a" "1"}"#, #"{"a":}"#, #"{"a":1"#, #"{1:2}"#, "'a'", "\"a", "\"\t\"", #""\x""#,
            #""\"#, #""\u12""#, #""\u12g4""#, #""\ud800""#, #""\udc00""#, #""\ud800x""#, #""\ud800\u0041""#, "tru",
            "nulL",
            "truex", "[1]]", "//\n1", String(repeating: "[", count: 513) + String(repeating: "]", count: 513),
        ]
        for text in texts {
            XCTAssertThrowsError(try JSONValue(json: Array(text.utf8)), text)
            XCTAssertNil(try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)), text)
        }
        XCTAssertThrowsError(try JSONValue(json: [0x22, 0xff, 0x22]))
        XCTAssertThrowsError(try JSONValue(json: [0x22, 0xc0, 0x80, 0x22]))
        // Foundation lets these pass; the standard does not.
        for text in ["[1,]", #"{"a":1,}"#] { XCTAssertThrowsError(try JSONValue(json: Array(text.utf8)), text) }
    }

    /// Nothing that is cut off or changed by a byte may trap.
    func testDamagedTextNeverTraps() {
        let text = Array(#"{"a":[1.5e3,-2,true,null,"\u00e9\ud83d\ude00x"],"b":{"c":"é"}}"#.utf8)
        for end in 0..<text.count { XCTAssertThrowsError(try JSONValue(json: Array(text[..<end]))) }
        for place in text.indices {
            for byte in [0, 0x22, 0x2d, 0x30, 0x5c, 0x5d, 0x7d, 0x75, 0xed, 0xff] as [UInt8] {
                var changed = text
                changed[place] = byte
                _ = try? JSONValue(json: changed)
            }
        }
    }

    // MARK: - Decoding

    private struct Decoded: Codable, Equatable {
        struct Inner: Codable, Equatable {
            var name: String
            var numbers: [Double]
        }

        var flag: Bool
        var text: String?
        var missing: Int?
        var small: UInt8
        var large: Int64
        var part: Float
        var inner: Inner
        var list: [Inner?]
        var table: [String: [Int]]
        var pairs: [[Bool]]
    }

    func testDecodesAsFoundationDoes() throws {
        let inner = #"{"name": "é", "numbers": [1, 2.5, -3e2]}"#
        let text = """
            {"flag": true, "text": null, "small": 255, "large": -9007199254740993, "part": 0.25, "inner": \(inner),
             "list": [\(inner), null], "table": {"a": [], "b": [1, 2]}, "pairs": [[true], []], "more": 1}
            """
        let bytes = Array(text.utf8)
        let expected = try JSONDecoder().decode(Decoded.self, from: Data(bytes))
        XCTAssertEqual(try JSONValue(json: bytes).decoded(as: Decoded.self), expected)
        XCTAssertEqual(try JSONValue(json: JSONWriter.write(expected)).decoded(as: Decoded.self), expected)
        // One wrong value after the other: both refuse.
        let changes = [
            ("true, \"text\"", "1, \"text\""), ("255", "256"), ("255", "1.5"), ("255", "-1"), ("0.25", "\"0.25\""),
            ("\"name\"", "\"nam\""), ("[[true], []]", "[true]"), ("[[true], []]", "{}"), ("{\"a\": []", "[1"),
            ("\"flag\": true, ", ""),
        ]
        for (old, new) in changes {
            let wrong = Array(text.replacingOccurrences(of: old, with: new).utf8)
            XCTAssertNil(try? JSONDecoder().decode(Decoded.self, from: Data(wrong)), new)
            XCTAssertThrowsError(try JSONValue(json: wrong).decoded(as: Decoded.self), new)
        }
    }
}
