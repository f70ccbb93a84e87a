import CompressionKernels
import XCTest

// The oracle is the compiler's own Float16, which Intel macOS does not have.
#if !(os(macOS) && arch(x86_64))
final class HalfPrecisionTests: XCTestCase {
    func testEveryHalfToFloatAndBack() {
        for pattern in UInt16.min...UInt16.max {
            let expected = Float(Float16(bitPattern: pattern))
            if expected.isNaN {
                XCTAssertTrue(floatValue(half: pattern).isNaN)
                XCTAssertGreaterThan(halfBits(float: expected) & 0x7fff, 0x7c00)
                XCTAssertGreaterThan(halfBits(double: Double(expected)) & 0x7fff, 0x7c00)
            } else {
                XCTAssertEqual(floatBits(half: pattern), expected.bitPattern)
                XCTAssertEqual(halfBits(float: expected), pattern)
                XCTAssertEqual(halfBits(double: Double(expected)), pattern)
            }
        }
    }

    /// Around every value and every tie between neighbours, of both signs, to a last digit of both wider types.
    func testRoundingAroundTies() {
        var failures = 0
        func check(_ value: Double) {
            for signed in [value, -value] {
                for near in [signed, signed.nextUp, signed.nextDown] {
                    if halfBits(double: near) != Float16(near).bitPattern { failures += 1 }
                }
                let float = Float(signed)
                for near in [float, float.nextUp, float.nextDown] {
                    if halfBits(float: near) != Float16(near).bitPattern { failures += 1 }
                }
            }
        }
        for pattern in UInt16(0)...0x7bff {
            let low = Double(Float16(bitPattern: pattern))
            let high = pattern == 0x7bff ? 65536 : Double(Float16(bitPattern: pattern + 1))
            check(low)
            check((low + high) / 2)
            // What two roundings get wrong: binary32 takes these to the tie.
            for shift in [26.0, 30, 40] {
                check((low + high) / 2 * (1 + exp2(-shift)))
                check((low + high) / 2 * (1 - exp2(-shift)))
            }
        }
        XCTAssertEqual(failures, 0)
    }

    func testSpecialDoubles() {
        let cases: [(Double, UInt16)] = [
            (0, 0), (-0.0, 0x8000), (.infinity, 0x7c00), (-.infinity, 0xfc00), (.greatestFiniteMagnitude, 0x7c00),
            (-.greatestFiniteMagnitude, 0xfc00), (.leastNonzeroMagnitude, 0), (-.leastNonzeroMagnitude, 0x8000),
            (65504, 0x7bff), (65519.999, 0x7bff), (65520, 0x7c00), (exp2(-25), 0), (exp2(-25).nextUp, 1),
            (exp2(-24), 1), (1, 0x3c00),
        ]
        for (value, expected) in cases { XCTAssertEqual(halfBits(double: value), expected, "\(value)") }
    }

    func testArrays() {
        let halves = (0...UInt16.max).filter { !Float16(bitPattern: $0).isNaN }
        var floats = [Float](repeating: 0, count: halves.count)
        var doubles = [Double](repeating: 0, count: halves.count)
        var back = [UInt16](repeating: 0, count: halves.count)
        halfToFloat(halves, halves.count, &floats)
        floatToHalf(floats, halves.count, &back)
        XCTAssertEqual(back, halves)
        halfToDouble(halves, halves.count, &doubles)
        doubleToHalf(doubles, halves.count, &back)
        XCTAssertEqual(back, halves)
        XCTAssertEqual(floats.map { Double($0) }, doubles)
    }
}
#endif
