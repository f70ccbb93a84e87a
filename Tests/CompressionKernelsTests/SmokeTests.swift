import CompressionKernels
import XCTest

final class CompressionKernelsSmokeTests: XCTestCase {}
