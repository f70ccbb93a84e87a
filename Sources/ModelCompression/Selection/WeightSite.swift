import CoreMLPackage

/// An operation that uses a constant, with what decides the channel axes of its weight.
struct Consumer: Sendable, Equatable {
    /// MIL operation type, e.g. `conv`.
    var type: String
    /// The operation's name; its first output's name when it has none.
    var name: String
    /// The parameters through which it uses the constant, e.g. `weight`.
    var parameters: [String]
    /// `matmul` only.
    var transposeX = false
    /// `matmul` only.
    var transposeY = false
    /// `conv` and `conv_transpose` only.
    var groups = 1

    var isConstexpr: Bool { type.hasPrefix("constexpr_") }

    /// As messages name it.
    var text: String { "\(type) '\(name)'" }
}

/// A constant of the program and everything that decides what happens to it; no data is touched.
struct WeightSite: Sendable {
    var function: String
    /// The operation set of the block it stands in, e.g. `CoreML7`.
    var opset: String
    /// The constant operation's name.
    var name: String
    var type: MILDataType
    var shape: [Int]
    /// Every operation that uses it, in program order, those in nested blocks included; once each.
    var consumers: [Consumer]

    var count: Int { shape.reduce(1, *) }
}

/// Output and input channel axes of a weight.
struct ChannelAxes: Sendable, Equatable {
    var output: Int
    var input: Int
}

extension Consumer {
    /// The channel axes of a weight of `rank` for this consumer: coremltools' `select_input_output_channel_axis`.
    ///
    /// linear [out, in]; conv [out, in/groups, ...]; conv_transpose [in, out/groups, ...]; matmul by operand and
    /// transpose flag; every other operation as linear.
    func channelAxes(rank: Int) -> ChannelAxes {
        let (last, secondToLast) = (rank - 1, rank - 2)
        switch type {
        case "conv_transpose": return ChannelAxes(output: 1, input: 0)
        case "matmul" where parameters.contains("y"):
            return transposeY
                ? ChannelAxes(output: secondToLast, input: last) : ChannelAxes(output: last, input: secondToLast)
        case "matmul":
            return transposeX
                ? ChannelAxes(output: last, input: secondToLast) : ChannelAxes(output: secondToLast, input: last)
        default: return ChannelAxes(output: 0, input: 1)
        }
    }
}
