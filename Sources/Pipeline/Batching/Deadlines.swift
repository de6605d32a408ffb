/// When the blocks of each open table are due, as numbers that lie together: to find the first of a thousand tables, and those that are due,
/// touches none of the others.
struct Deadlines {
    /// What the numbers count from, in nanoseconds; nil: nothing was ever due.
    private var begin: StageClock.Instant?
    /// By a table's place; `never` where no block of it grows too old.
    private var times: [Int64] = []
    private var tables: [OpenTable?] = []
    /// Places of tables that are gone.
    private var free: [Int] = []

    private static let never = Int64.max

    /// The table has other blocks than before, or others of its blocks are due.
    mutating func changed(_ table: OpenTable, deadline: StageClock.Instant?) {
        guard let deadline else {
            if let place = table.deadlinePlace { times[place] = Self.never }
            return
        }
        let begin = begin ?? deadline
        self.begin = begin
        times[table.deadlinePlace ?? newPlace(for: table)] = Self.time(of: deadline, since: begin)
    }

    /// The table is forgotten.
    mutating func removed(_ table: OpenTable) {
        guard let place = table.deadlinePlace else { return }
        table.deadlinePlace = nil
        times[place] = Self.never
        tables[place] = nil
        free.append(place)
    }

    /// The earliest; nil: nothing grows too old.
    var first: StageClock.Instant? {
        guard let begin, let time = times.min(), time != Self.never else { return nil }
        return begin + .nanoseconds(time)
    }

    /// The tables that have blocks which are due.
    func due(at now: StageClock.Instant) -> [OpenTable] {
        guard let begin else { return [] }
        let now = Self.time(of: now, since: begin)
        return times.indices.filter { times[$0] <= now }.compactMap { tables[$0] }
    }

    private mutating func newPlace(for table: OpenTable) -> Int {
        let place: Int
        if let last = free.popLast() {
            place = last
            tables[place] = table
        } else {
            place = times.count
            times.append(Self.never)
            tables.append(table)
        }
        table.deadlinePlace = place
        return place
    }

    /// Below `never`.
    private static func time(of instant: StageClock.Instant, since begin: StageClock.Instant) -> Int64 {
        min((instant - begin).nanoseconds, never - 1)
    }
}
