// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress
import CommandLineTool

@c @implementation
public func swc_command_line(_ argumentCount: Int32, _ arguments: UnsafePointer<UnsafePointer<CChar>>) -> Int32 {
    SwiftcompressCommand.main((1..<Int(argumentCount)).map { String(cString: arguments[$0]) })
    return 0
}
