import CommandLineTool

SwiftcompressCommand.main()
