import TensorCompression
import XCTest

final class TensorCompressionSmokeTests: XCTestCase {}
