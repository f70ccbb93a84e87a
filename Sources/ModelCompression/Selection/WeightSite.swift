import CoreMLPackage

/// An operation that uses a constant, with what decides the channel axes of its weight.
struct Consumer: Sendable, Equatable {
    /// MIL operation type, e.g. `conv`.
    var type: String
    /// The operation's name; its first output's name when it has none.
    var name: String
    /// The parameters through which it uses the constant, e.g. `weight`.
    var parameters: [String]
    /// Where the operation begins in `model.mlmodel`: tells it from every other.
    var position = 0
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

    /// Elements; what a damaged file states need not be a number.
    var count: Int { MILTensorType(type, shape: shape).elementCount ?? Int.max }
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

extension Consumer {
    /// Whether a factor for each output channel of its weight can multiply its result instead.
    var canScaleOutput: Bool {
        switch type {
        case "linear", "conv": parameters == ["weight"]
        case "conv_transpose": parameters == ["weight"] && groups == 1
        case "matmul": parameters.count == 1
        default: false
        }
    }

    /// The shape in which a vector of one factor for each output channel multiplies the result.
    /// - Parameter rank: the weight's.
    func outputScaleShape(channels: Int, rank: Int) -> [Int] {
        switch type {
        case "conv", "conv_transpose": [1, channels] + [Int](repeating: 1, count: max(rank - 2, 0))
        case "matmul" where !parameters.contains("y"): [channels, 1]
        default: [channels]
        }
    }
}
