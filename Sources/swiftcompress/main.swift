import CommandLineTool

SwiftcompressCommand.main(Array(CommandLine.arguments.dropFirst()))
