import ModelCompression
import XCTest

final class ModelCompressionSmokeTests: XCTestCase {}
