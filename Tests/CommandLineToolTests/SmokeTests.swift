import CommandLineTool
import XCTest

final class CommandLineToolSmokeTests: XCTestCase {}
