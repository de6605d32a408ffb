import Pipeline
import Testing

@testable import Ingest

@Suite struct RefusalLogTests {
    private let log = RefusalLog()
    private let table = TableName(table: "mstroe")
    private let start = StageClock.continuous.now

    @Test func theSameIsSaidOnceAnHour() {
        #expect(log.isWorthALine(table, .unknownTable, at: start))
        #expect(!log.isWorthALine(table, .unknownTable, at: start + .seconds(2)))
        #expect(!log.isWorthALine(table, .unknownTable, at: start + .seconds(3599)))
        #expect(log.isWorthALine(table, .unknownTable, at: start + .seconds(3600)))
    }

    @Test func anotherReasonAndAnotherTableAreNews() {
        #expect(log.isWorthALine(table, .unknownTable, at: start))
        #expect(log.isWorthALine(table, .accessDenied, at: start + .seconds(1)))
        #expect(log.isWorthALine(TableName(table: "other"), .unknownTable, at: start + .seconds(1)))
    }

    @Test func namesOfProducersDoNotFillTheMemory() {
        for number in 0..<RefusalLog.tablesMax {
            #expect(log.isWorthALine(TableName(table: "t\(number)"), .unknownTable, at: start))
        }
        #expect(log.isWorthALine(table, .unknownTable, at: start))
        #expect(log.isWorthALine(TableName(table: "t0"), .unknownTable, at: start), "it was forgotten")
    }
}
