/// A run of row numbers of one producer, both ends included. Never empty.
public struct RowRange: Hashable, Sendable {
    public let first: UInt64
    public let last: UInt64

    /// - Precondition: `first <= last`.
    public init(first: UInt64, last: UInt64) {
        precondition(first <= last, "a range of rows is not empty")
        self.first = first
        self.last = last
    }

    public var rows: UInt64 { last - first + 1 }
}

/// A set of row numbers, kept as runs: what arrived of a numbering that may arrive out of order.
///
/// It has as many runs as there are gaps; gaps are as many as chunks of one producer are under way.
public struct RowIntervals: Hashable, Sendable {
    /// Ascending, with a gap between each two.
    public private(set) var runs: [RowRange] = []

    public init() {}

    public init(_ ranges: some Sequence<RowRange>) {
        for range in ranges { insert(range) }
    }

    /// The highest number up to which all are there, counted from 1; 0: number 1 is missing.
    public var contiguous: UInt64 {
        guard let first = runs.first, first.first <= 1 else { return 0 }
        return first.last
    }

    /// The highest number that is there; 0 when there is none.
    public var highest: UInt64 { runs.last?.last ?? 0 }

    public mutating func insert(_ range: RowRange) {
        // By far the most common: the next in line.
        if let last = runs.last, last.last < .max, range.first == last.last + 1 {
            runs[runs.count - 1] = RowRange(first: last.first, last: range.last)
            return
        }
        var first = range.first
        var last = range.last
        let from = runs.firstIndex { first == 0 || $0.last >= first - 1 } ?? runs.count
        var to = from
        while to < runs.count, runs[to].first <= (last == .max ? last : last + 1) {
            first = min(first, runs[to].first)
            last = max(last, runs[to].last)
            to += 1
        }
        runs.replaceSubrange(from..<to, with: [RowRange(first: first, last: last)])
    }

    /// What is here and not in the other set.
    public func subtracting(_ other: RowIntervals) -> RowIntervals {
        var left = RowIntervals()
        var holes = other.runs[...]
        for run in runs {
            var first = run.first
            while let hole = holes.first, hole.last < first { holes.removeFirst() }
            for hole in holes {
                guard hole.first <= run.last else { break }
                if hole.first > first { left.insert(RowRange(first: first, last: hole.first - 1)) }
                guard hole.last < run.last else {
                    first = 0
                    break
                }
                first = hole.last + 1
            }
            // 0: a hole reaches to the end of the run or beyond. No row has that number.
            if first > 0 { left.insert(RowRange(first: first, last: run.last)) }
        }
        return left
    }

    public func contains(_ number: UInt64) -> Bool { runs.contains { $0.first <= number && number <= $0.last } }

    /// Takes up what another set has.
    public mutating func formUnion(_ other: RowIntervals) {
        for run in other.runs { insert(run) }
    }
}
