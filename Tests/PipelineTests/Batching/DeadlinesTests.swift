import TestSupport
import Testing

@testable import Pipeline

@Suite struct DeadlinesTests {
    private let start = StageClock.Instant.now

    private func table(_ number: Int) -> OpenTable {
        OpenTable(TableName(table: "t\(number)"), strategy: BatchStrategy())
    }

    @Test func nothingIsDueWhereNothingGrowsOld() {
        var deadlines = Deadlines()
        #expect(deadlines.first == nil && deadlines.due(at: start).isEmpty)
        let table = table(0)
        deadlines.changed(table, deadline: nil)
        deadlines.removed(table)
        #expect(deadlines.first == nil && deadlines.due(at: start + .seconds(1_000_000_000)).isEmpty)
    }

    @Test func aDeadlineBeforeTheFirstThatWasKnownComesFirst() {
        var deadlines = Deadlines()
        let (early, late) = (table(0), table(1))
        deadlines.changed(late, deadline: start)
        deadlines.changed(early, deadline: start - .seconds(3))
        #expect(deadlines.first == start - .seconds(3))
        #expect(deadlines.due(at: start - .nanoseconds(1)).map(\.name) == [early.name])
        #expect(Set(deadlines.due(at: start).map(\.name)) == [early.name, late.name])
    }

    /// What a dictionary that is looked through says.
    @Test(arguments: Seeds.some(20)) func theFirstAndThoseThatAreDueAreFound(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var deadlines = Deadlines()
        var tables = (0..<12).map { table($0) }
        var model: [TableName: StageClock.Instant] = [:]
        for step in 0..<500 {
            let place = random.int(0...tables.count - 1)
            let table = tables[place]
            switch random.int(0...9) {
            case 0:
                deadlines.removed(table)
                model[table.name] = nil
                // Another object of the name, as the planner makes.
                tables[place] = OpenTable(table.name, strategy: BatchStrategy())
            case 1, 2:
                deadlines.changed(table, deadline: nil)
                model[table.name] = nil
            default:
                let deadline = start + .milliseconds(random.int(-50...200))
                deadlines.changed(table, deadline: deadline)
                model[table.name] = deadline
            }
            #expect(deadlines.first == model.values.min())
            let now = start + .milliseconds(random.int(-60...210))
            let due = deadlines.due(at: now).map(\.name)
            guard Set(due) == Set(model.filter { $0.value <= now }.keys), Set(due).count == due.count else {
                Issue.record("step \(step): \(due) is due at \(now - start)")
                return
            }
        }
    }
}
