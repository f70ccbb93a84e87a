import CoreMLPackage
import XCTest

final class CoreMLPackageSmokeTests: XCTestCase {}
