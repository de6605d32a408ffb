import TestSupport
import Testing

@testable import Pipeline

@Suite struct SpoolAgesTests {
    /// A file is open for as long as it takes to fill it, hours where little comes. Its rows are not as old as that.
    @Test func rowsThatAreSettledSoonAreNeverOld() {
        var ages = SpoolAges()
        for second in Int64(0)..<10_000 {
            ages.written(rows: 5, lsn: UInt64(second), at: second * 1000)
            #expect((ages.oldest ?? 0) >= (second - 2) * 1000)
            if second >= 2 { ages.settled(rows: 5, lsn: UInt64(second - 2)) }
        }
        ages.settled(rows: 5, lsn: 9_998)
        ages.settled(rows: 5, lsn: 9_999)
        #expect(ages.oldest == nil && ages.count == 0)
    }

    @Test func theOldestOneCountsInWhateverOrderTheOthersGo() {
        var ages = SpoolAges()
        for second in Int64(0)..<10 { ages.written(rows: 2, lsn: UInt64(10 + second), at: second * 1000) }
        for lsn in UInt64(11)..<20 { ages.settled(rows: 2, lsn: lsn) }
        #expect(ages.oldest == 0)
        ages.settled(rows: 1, lsn: 10)
        #expect(ages.oldest == 0)
        ages.settled(rows: 1, lsn: 10)
        #expect(ages.oldest == nil)
    }

    /// A day without a server.
    @Test func aBacklogTakesABoundedRoomAndItsBeginningIsKnown() {
        var ages = SpoolAges()
        for second in Int64(0)..<86_400 {
            ages.written(rows: 1, lsn: UInt64(second), at: second * 1000)
            #expect(ages.count <= SpoolAges.marksMax)
        }
        #expect(ages.oldest == 0)
        // It is caught up with from the oldest on; the age is never more than a minute too much.
        for second in Int64(0)..<86_399 {
            ages.settled(rows: 1, lsn: UInt64(second))
            let oldest = ages.oldest ?? -1
            #expect(oldest <= (second + 1) * 1000 && oldest >= (second - 60) * 1000)
        }
        ages.settled(rows: 1, lsn: 86_399)
        #expect(ages.oldest == nil)
    }

    @Test(arguments: Seeds.some(20))
    func itAgreesWithLookingAtEachRow(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var ages = SpoolAges()
        var live: [(lsn: UInt64, time: Int64, rows: Int)] = []
        var (time, lsn) = (Int64(1_000_000), UInt64(1))
        for _ in 0..<3_000 {
            time += Int64(random.int(0...400))
            if random.int(0...1) == 0 {
                let rows = random.int(1...9)
                ages.written(rows: rows, lsn: lsn, at: time)
                live.append((lsn, time, rows))
                lsn += UInt64(random.int(1...3))
            } else if !live.isEmpty {
                let index = random.int(0...min(live.count - 1, 20))
                let part = random.int(1...live[index].rows)
                ages.settled(rows: part, lsn: live[index].lsn)
                live[index].rows -= part
                if live[index].rows == 0 { live.remove(at: index) }
            }
            let expected = live.map(\.time).min()
            #expect((ages.oldest == nil) == (expected == nil))
            if let oldest = ages.oldest, let expected {
                #expect(oldest <= expected && expected - oldest < SpoolAges.intervalMin)
            }
        }
    }
}
