// Unsafe by design. The invariant: `table` has `stateCount * classCount` states below `stateCount`, `classes` 256 numbers below
// `classCount`, `accepting` a flag for each state. All of it is written in init, only read afterwards, and freed in deinit.

/// An expression that texts match or not, as a table of states: a value costs one look-up for each of its bytes, and no allocation,
/// whatever the expression.
public final class TextPattern: @unchecked Sendable {
    /// More states than these, and an expression is refused.
    public static let statesMax = 4096
    /// Of the expression before its states are joined.
    static let stepsMax = 10_000
    /// Work to join them, so that nobody waits for an expression that is refused in the end.
    static let workMax = 40_000_000

    public let text: String
    private let table: UnsafeMutablePointer<UInt16>
    private let classes: UnsafeMutablePointer<UInt8>
    private let accepting: UnsafeMutablePointer<Bool>
    private let classCount: Int
    private let start: UInt16

    /// From here no match can come, and from there it has come.
    fileprivate static let lost: UInt16 = 0
    fileprivate static let found: UInt16 = 1

    /// - Throws: what is wrong with the expression, or that it needs too many states.
    public init(_ text: String) throws(TextPatternError) {
        self.text = text
        var reader = PatternReader(text)
        let node = try reader.read()
        var program = PatternProgram()
        try program.add(node)
        program.steps.append(.match)
        var builder = StateBuilder(program: program)
        try builder.build()
        start = builder.start
        classCount = builder.classCount
        classes = .allocate(capacity: 256)
        classes.initialize(from: builder.classes, count: 256)
        table = .allocate(capacity: builder.table.count)
        table.initialize(from: builder.table, count: builder.table.count)
        accepting = .allocate(capacity: builder.accepting.count)
        accepting.initialize(from: builder.accepting, count: builder.accepting.count)
    }

    deinit {
        table.deallocate()
        classes.deallocate()
        accepting.deallocate()
    }

    /// Whether there is a match somewhere in the text.
    public func matches(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var state = start
        for byte in bytes {
            if state <= Self.found { return state == Self.found }
            state = table[Int(state) &* classCount &+ Int(classes[Int(byte)])]
        }
        return accepting[Int(state)]
    }

    public func matches(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { matches(UnsafeRawBufferPointer($0)) }
    }
}

/// An expression as steps, each with what comes next (Thompson's construction).
private struct PatternProgram {
    enum Step {
        case bytes(ByteSet)
        /// Goes on at both.
        case split(Int, Int)
        case jump(Int)
        case start, end
        case match
    }

    var steps: [Step] = []
    /// Also of those that are no step, such as an empty group: it can be repeated as often as any other.
    private var nodes = 0

    /// Steps of a node; what follows it comes behind them.
    mutating func add(_ node: PatternNode) throws(TextPatternError) {
        nodes += 1
        guard max(steps.count, nodes / 4) <= TextPattern.stepsMax else {
            throw TextPatternError(message: "the expression is too large: more than \(TextPattern.stepsMax) steps")
        }
        switch node {
        case .bytes(let set): steps.append(.bytes(set))
        case .start: steps.append(.start)
        case .end: steps.append(.end)
        case .sequence(let nodes): for node in nodes { try add(node) }
        case .either(let nodes): try addEither(nodes)
        case .repeated(let node, let least, let most):
            for _ in 0..<least { try add(node) }
            guard let most else {
                let split = steps.count
                steps.append(.match)
                try add(node)
                steps.append(.jump(split))
                steps[split] = .split(split + 1, steps.count)
                return
            }
            var splits: [Int] = []
            for _ in least..<most {
                splits.append(steps.count)
                steps.append(.match)
                try add(node)
            }
            for split in splits { steps[split] = .split(split + 1, steps.count) }
        }
    }

    private mutating func addEither(_ nodes: [PatternNode]) throws(TextPatternError) {
        var jumps: [Int] = []
        for (number, node) in nodes.enumerated() {
            guard number < nodes.count - 1 else {
                try add(node)
                break
            }
            let split = steps.count
            steps.append(.match)
            try add(node)
            jumps.append(steps.count)
            steps.append(.match)
            steps[split] = .split(split + 1, steps.count)
        }
        for jump in jumps { steps[jump] = .jump(steps.count) }
    }
}

/// Joins the steps that one can be at into states (the subset construction).
private struct StateBuilder {
    let program: PatternProgram
    var table: [UInt16] = []
    var accepting: [Bool] = []
    var classes = [UInt8](repeating: 0, count: 256)
    var classCount = 1
    var start: UInt16 = 0
    private var states: [[Int32]: UInt16] = [:]
    private var pending: [(state: UInt16, steps: [Int32])] = []
    private var marks: [Int32]
    private var mark: Int32 = 0
    private var work = 0

    init(program: PatternProgram) {
        self.program = program
        marks = [Int32](repeating: 0, count: program.steps.count)
    }

    mutating func build() throws(TextPatternError) {
        let samples = findClasses()
        // Both of the states that are ends.
        table =
            Array(repeating: TextPattern.lost, count: classCount)
            + Array(repeating: TextPattern.found, count: classCount)
        accepting = [false, true]
        let first = closure([0], atStart: true, atEnd: false)
        start = try state(of: first, isStart: true)
        while let (number, steps) = pending.popLast() {
            for (place, byte) in samples.enumerated() {
                work += steps.count + 1
                var next: [Int32] = []
                for step in steps {
                    if case .bytes(let set) = program.steps[Int(step)], set.contains(byte) { next.append(step + 1) }
                }
                let reached = closure(next + [0], atStart: false, atEnd: false)
                table[Int(number) * classCount + place] = try state(of: reached, isStart: false)
            }
            guard work <= TextPattern.workMax else {
                throw TextPatternError(message: "the expression is too large to be turned into a table of states")
            }
        }
    }

    /// Bytes that no set tells apart are of one class; returns one byte of each.
    private mutating func findClasses() -> [UInt8] {
        let sets = Set(program.steps.compactMap { if case .bytes(let set) = $0 { set } else { nil } })
        var known: [[Bool]: UInt8] = [:]
        var samples: [UInt8] = []
        for byte in UInt8.min...UInt8.max {
            let signature = sets.map { $0.contains(byte) }
            if let place = known[signature] {
                classes[Int(byte)] = place
            } else {
                let place = UInt8(truncatingIfNeeded: samples.count)
                known[signature] = place
                classes[Int(byte)] = place
                samples.append(byte)
            }
        }
        classCount = samples.count
        return samples
    }

    /// The steps that are reached without a byte more: those that wait for one, for the end, or are the match.
    private mutating func closure(_ from: [Int32], atStart: Bool, atEnd: Bool) -> [Int32] {
        mark += 1
        var stack = from
        var result: [Int32] = []
        while let step = stack.popLast() {
            guard marks[Int(step)] != mark else { continue }
            marks[Int(step)] = mark
            work += 1
            switch program.steps[Int(step)] {
            case .bytes, .match: result.append(step)
            case .split(let a, let b): stack += [Int32(a), Int32(b)]
            case .jump(let a): stack.append(Int32(a))
            case .start: if atStart { stack.append(step + 1) }
            case .end:
                result.append(step)
                if atEnd { stack.append(step + 1) }
            }
        }
        return result.sorted()
    }

    private func hasMatch(_ steps: [Int32]) -> Bool { steps.last == Int32(program.steps.count - 1) }

    private mutating func state(of steps: [Int32], isStart: Bool) throws(TextPatternError) -> UInt16 {
        if hasMatch(steps) { return TextPattern.found }
        if steps.isEmpty { return TextPattern.lost }
        // The start differs from the same steps further on in what an empty text is.
        if !isStart, let known = states[steps] { return known }
        guard accepting.count < TextPattern.statesMax else {
            throw TextPatternError(
                message: "the expression needs more than \(TextPattern.statesMax) states; fewer or smaller {n,m} help")
        }
        let number = UInt16(accepting.count)
        if !isStart { states[steps] = number }
        table += Array(repeating: TextPattern.lost, count: classCount)
        accepting.append(hasMatch(closure(steps, atStart: isStart, atEnd: true)))
        pending.append((number, steps))
        return number
    }
}
