import Pipeline
import TestSupport
import Testing

@Suite struct RowIntervalsTests {
    private func set(_ runs: (UInt64, UInt64)...) -> RowIntervals {
        RowIntervals(runs.map { RowRange(first: $0.0, last: $0.1) })
    }

    @Test func runsThatTouchBecomeOne() {
        #expect(set((1, 3), (4, 6)).runs == [RowRange(first: 1, last: 6)])
        #expect(set((4, 6), (1, 3)).runs == [RowRange(first: 1, last: 6)])
        #expect(set((1, 2), (5, 6), (2, 5)).runs == [RowRange(first: 1, last: 6)])
        #expect(set((1, 2), (4, 5)).runs.count == 2)
        #expect(set((5, .max), (.max, .max)).runs == [RowRange(first: 5, last: .max)])
    }

    @Test func contiguousCountsFromOne() {
        #expect(RowIntervals().contiguous == 0)
        #expect(set((2, 9)).contiguous == 0)
        #expect(set((1, 4), (6, 9)).contiguous == 4)
        #expect(set((1, 4), (6, 9)).highest == 9)
    }

    @Test(arguments: Seeds.some(40))
    func theyAreWhatASetOfNumbersIs(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        func make() -> (RowIntervals, Set<UInt64>) {
            var intervals = RowIntervals()
            var numbers: Set<UInt64> = []
            for _ in 0..<random.int(0...12) {
                let first = UInt64(random.int(1...60))
                let last = first + UInt64(random.int(0...8))
                intervals.insert(RowRange(first: first, last: last))
                numbers.formUnion(first...last)
            }
            return (intervals, numbers)
        }
        func check(_ intervals: RowIntervals, _ numbers: Set<UInt64>) {
            #expect(Set(intervals.runs.flatMap { Array($0.first...$0.last) }) == numbers)
            for (a, b) in zip(intervals.runs, intervals.runs.dropFirst()) { #expect(a.last + 1 < b.first) }
            #expect(intervals.contiguous == (0...70).last { $0 == 0 || numbers.isSuperset(of: 1...$0) })
            for number: UInt64 in 0...70 { #expect(intervals.contains(number) == numbers.contains(number)) }
        }
        let (a, numbersOfA) = make()
        let (b, numbersOfB) = make()
        check(a, numbersOfA)
        var union = a
        union.formUnion(b)
        check(union, numbersOfA.union(numbersOfB))
        check(a.subtracting(b), numbersOfA.subtracting(numbersOfB))
    }
}
