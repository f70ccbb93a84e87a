// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress
import CommandLineTool

@c @implementation
public func swc_command_line(_ argumentCount: Int32, _ arguments: UnsafePointer<UnsafePointer<CChar>>) -> Int32 {
    SwiftcompressCommand.run((1..<max(Int(argumentCount), 1)).map { String(cString: arguments[$0]) })
}
