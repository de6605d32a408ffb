/// How long the rows that are not settled have been in the spool: counted by the second in which they were written, so that
/// the age of the oldest one is known without looking at each.
///
/// With an outage that lasts, seconds are put together: it never has more than `marksMax` counts, and is then as much less exact.
struct SpoolAges: Sendable {
    static let marksMax = 4096
    /// So few that new ones may be as exact as can be again.
    static let marksFew = 64
    /// Milliseconds that one count is for, while there are few.
    static let intervalMin: Int64 = 1000

    private struct Mark {
        /// Rows of this record and of those up to the next mark.
        let firstLSN: UInt64
        /// When the first of them was written, in milliseconds since 1970.
        let time: Int64
        var rows: Int
    }

    /// Ascending; the first one has rows.
    private var marks: [Mark] = []
    /// Doubles whenever there are too many.
    private var interval = intervalMin

    init() {}

    /// What an earlier run left: as old as the files it lies in.
    init(_ segments: [SpoolLedger.Segment]) {
        for segment in segments where segment.unsettledRows > 0 {
            marks.append(Mark(firstLSN: segment.firstLSN, time: segment.created, rows: segment.unsettledRows))
        }
        makeRoom()
    }

    /// When the oldest row that is not settled was written, in milliseconds since 1970; nil: there is none.
    var oldest: Int64? { marks.first?.time }

    /// The number of counts that are kept.
    var count: Int { marks.count }

    mutating func written(rows: Int, lsn: UInt64, at time: Int64) {
        if let last = marks.last, time - last.time < interval {
            marks[marks.count - 1].rows += rows
        } else {
            marks.append(Mark(firstLSN: lsn, time: time, rows: rows))
            makeRoom()
        }
    }

    mutating func settled(rows: Int, lsn: UInt64) {
        // The last mark that begins at or before the record.
        var (low, high) = (0, marks.count)
        while low < high {
            let middle = (low + high) / 2
            if marks[middle].firstLSN <= lsn { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return }
        marks[low - 1].rows -= rows
        if low == 1 { marks.removeFirst(marks.prefix { $0.rows <= 0 }.count) }
        if marks.count < Self.marksFew { interval = Self.intervalMin }
    }

    /// What is settled goes first; then neighbours are put together until a quarter of the counts is free.
    private mutating func makeRoom() {
        guard marks.count > Self.marksMax else { return }
        marks.removeAll { $0.rows <= 0 }
        while marks.count > Self.marksMax * 3 / 4 {
            interval *= 2
            var wider: [Mark] = []
            for mark in marks {
                if let last = wider.last, mark.time - last.time < interval {
                    wider[wider.count - 1].rows += mark.rows
                } else {
                    wider.append(mark)
                }
            }
            marks = wider
        }
    }
}
