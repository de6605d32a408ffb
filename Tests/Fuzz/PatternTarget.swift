@testable import Pipeline

extension FuzzTarget {
    /// The first byte: how long the expression is. The rest is the text.
    static func patterns(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let length = Int(first & 0x3F)
        let source = String(decoding: bytes.dropFirst().prefix(length), as: UTF8.self)
        let text = Array(bytes.dropFirst(1 + length).prefix(100))
        var reader = PatternReader(source)
        // Large ones are refused by a count, which tests have; here they would only take time.
        guard let node = try? reader.read(), node.size <= 60 else { return }
        guard let pattern = try? TextPattern(source) else { return }
        let isMatch = text.withUnsafeBytes { pattern.matches($0) }
        require(isMatch == node.matches(text), "/\(source)/ on \(text): \(isMatch)")
    }
}

/// Matching without a table of states: where each part of the expression can end, for all places where it may begin at once.
extension PatternNode {
    /// A bit for each place in a text.
    private typealias Places = UInt128

    /// Bytes and repetitions, multiplied out.
    var size: Int {
        switch self {
        case .bytes, .start, .end: 1
        case .sequence(let nodes), .either(let nodes): min(1 << 20, 1 + nodes.reduce(0) { $0 + $1.size })
        case .repeated(let node, let least, let most): min(1 << 20, node.size * max(1, least, most ?? 0))
        }
    }

    /// - Parameter text: at most 126 bytes.
    func matches(_ text: [UInt8]) -> Bool { ends((1 << Places(text.count + 1)) - 1, text) != 0 }

    private func ends(_ starts: Places, _ text: [UInt8]) -> Places {
        guard starts != 0 else { return 0 }
        switch self {
        case .bytes(let set):
            var ends: Places = 0
            for place in text.indices where starts >> Places(place) & 1 != 0 && set.contains(text[place]) {
                ends |= 1 << Places(place + 1)
            }
            return ends
        case .start: return starts & 1
        case .end: return starts & 1 << Places(text.count)
        case .sequence(let nodes): return nodes.reduce(starts) { $1.ends($0, text) }
        case .either(let nodes): return nodes.reduce(0) { $0 | $1.ends(starts, text) }
        case .repeated(let node, let least, let most):
            var reached = starts
            for _ in 0..<least { reached = node.ends(reached, text) }
            var (all, left) = (reached, most.map { $0 - least } ?? .max)
            while reached != 0, left > 0 {
                reached = node.ends(reached, text) & ~all
                all |= reached
                left -= 1
            }
            return all
        }
    }
}
