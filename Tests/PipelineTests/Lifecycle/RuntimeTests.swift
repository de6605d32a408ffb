import Logging
import ServiceLifecycle
import Testing
import TestSupport

@testable import Pipeline

@Suite(.endsEvenIfItHangs) struct RuntimeTests {
    let log = Recorder<String>()
    let clock = ManualClock()
    let exits = Recorder<ExitReason>()

    @Test func stopsFromTheProducersToTheSinkAndDrainsOnTheWay() async throws {
        let received = stream(elements: 100)
        let validated = stream(elements: 2)
        let sink = Gate()
        let runtime = runtime([
            LastStage(name: "ship", input: validated, log: log, gate: sink),
            MiddleStage(name: "validate", input: received, output: validated, log: log),
            FirstStage(name: "receive", output: received, log: log, elements: 20),
            FirstStage(name: "admin", output: nil, log: log, elements: 0),
        ])
        let running = Task { try await runtime.run(signals: false) }
        await log.wait { $0.contains("receive sent all") && $0.contains("beside has begun") }
        runtime.stop()
        await log.wait { $0.contains("receive ended") }
        #expect(!log.values.contains("validate ended"), "nothing ends while the sink holds it up")
        sink.open()
        #expect(try await running.value == .drained)
        let ends = log.values.filter { $0.hasSuffix("ended") }
        #expect(ends == ["admin ended", "receive ended", "validate ended", "ship ended"])
        #expect(log.values.filter { $0 == "ship took one" }.count == 20, "every element arrived")
        await log.wait { $0.contains("beside is over") }
    }

    @Test(arguments: 0..<20)
    func stagesThatHaveNothingToDrainMayEndInAnyOrder(_: Int) async throws {
        let received = stream(elements: 1)
        let validated = stream(elements: 1)
        let runtime = runtime([
            LastStage(name: "ship", input: validated, log: log, gate: nil),
            MiddleStage(name: "validate", input: received, output: validated, log: log),
            FirstStage(name: "receive", output: received, log: log, elements: 3),
        ])
        runtime.stop()
        #expect(try await runtime.run(signals: false) == .drained)
        #expect(log.values.filter { $0 == "ship took one" }.count == 3)
    }

    @Test func afterTheTimeLimitWhatIsLeftIsReportedAndTheExitIsNotClean() async throws {
        let received = stream(elements: 10)
        let runtime = runtime([
            LastStage(name: "ship", input: received, log: log, gate: Gate()),
            FirstStage(name: "receive", output: received, log: log, elements: 4),
        ])
        let running = Task { try await runtime.run(signals: false) }
        await log.wait { $0.contains("ship took one") && $0.contains("receive sent all") }
        runtime.stop()
        await clock.waitForSleeper(until: clock.start + .seconds(30))
        clock.advance(by: .seconds(29))
        #expect(clock.sleepers == 1, "the limit has not passed")
        clock.advance(by: .seconds(1))
        let reason = try await running.value
        guard case .timedOut(let left) = reason else {
            Issue.record("ended as \(reason)")
            return
        }
        #expect(left.stages == ["ship": 1])
        #expect("\(left)".contains("ship held 1 rows"))
        #expect(reason.exitStatus != 0)
        #expect(exits.values.isEmpty)
    }

    @Test func aStageThatIgnoresItsCancellationDoesNotKeepTheProcessAlive() async throws {
        let received = stream(elements: 10)
        let stubborn = Gate()
        let runtime = runtime([
            LastStage(name: "ship", input: received, log: log, gate: stubborn, isStubborn: true),
            FirstStage(name: "receive", output: received, log: log, elements: 1),
        ])
        let running = Task { try await runtime.run(signals: false) }
        await log.wait { $0.contains("ship took one") }
        runtime.stop()
        await clock.waitForSleeper(until: clock.start + .seconds(30))
        clock.advance(by: .seconds(30))
        await clock.waitForSleeper(until: clock.start + .seconds(32))
        clock.advance(by: .seconds(2))
        let exit = await exits.wait(count: 1)
        #expect(exit.first?.exitStatus == 75)
        stubborn.open()
        _ = try await running.value
    }

    @Test func aSecondSignalEndsTheProcessAtOnce() async throws {
        let received = stream(elements: 10)
        let runtime = runtime([
            LastStage(name: "ship", input: received, log: log, gate: Gate()),
            FirstStage(name: "receive", output: received, log: log, elements: 1),
        ])
        let running = Task { try await runtime.run(signals: false) }
        await log.wait { $0.contains("ship took one") }
        runtime.stop()
        runtime.stop()
        #expect(exits.values.map(\.exitStatus) == [130])
        guard case .forced(let left) = try await running.value else {
            Issue.record("not forced")
            return
        }
        #expect(left.stages == ["ship": 1])
    }

    @Test func aStageThatFailsTakesTheDaemonDownWithItsName() async throws {
        let received = stream(elements: 10)
        let runtime = runtime([
            FailingStage(name: "ship", log: log),
            FirstStage(name: "receive", output: received, log: log, elements: 1),
        ])
        let error = await #expect(throws: RuntimeError.self) { try await runtime.run(signals: false) }
        #expect(error?.stage == "ship")
        #expect(error?.cause is FailingStage.Failure)
    }

    @Test func aStageThatEndsByItselfStopsTheOthersWhichStillDrain() async throws {
        let received = stream(elements: 10)
        let runtime = runtime([
            LastStage(name: "ship", input: received, log: log, gate: nil),
            FirstStage(name: "receive", output: received, log: log, elements: 5, endsByItself: true),
            FirstStage(name: "admin", output: nil, log: log, elements: 0),
        ])
        let error = await #expect(throws: RuntimeError.self) { try await runtime.run(signals: false) }
        #expect((error?.cause as? StageError)?.code == .endedEarly)
        #expect(log.values.filter { $0 == "ship took one" }.count == 5)
        #expect(log.values.contains("admin ended"))
    }

    private func stream(elements: Int) -> BoundedStream<Int> {
        BoundedStream(elementsMax: elements, bytesMax: 1_000_000) { _ in 1 }
    }

    private func runtime(_ stages: [any Stage]) -> Runtime {
        let (clock, exits, log) = (clock, exits, log)
        return Runtime(
            stages: stages, shutdownTimeout: .seconds(30),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }), clock: StageClock(clock),
            whileRunning: {
                log.record("beside has begun")
                while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
                log.record("beside is over")
            },
            exitNow: { exits.record($0) })
    }
}

/// Sends some elements, and ends when it is told to stop.
private struct FirstStage: Stage {
    let name: String
    let output: BoundedStream<Int>?
    let log: Recorder<String>
    let elements: Int
    var endsByItself = false

    func run() async throws {
        for element in 0..<elements { try await output?.send(element) }
        log.record("\(name) sent all")
        if !endsByItself { try await gracefulShutdown() }
        log.record("\(name) ended")
        output?.finish()
    }
}

private struct MiddleStage: Stage {
    let name: String
    let input: BoundedStream<Int>
    let output: BoundedStream<Int>
    let log: Recorder<String>

    func run() async throws {
        for await element in input { try await output.send(element) }
        try Task.checkCancellation()
        log.record("\(name) ended")
        output.finish()
    }
}

/// Takes elements, and waits at a gate with each.
private struct LastStage: Stage {
    let name: String
    let input: BoundedStream<Int>
    let log: Recorder<String>
    let gate: Gate?
    var isStubborn = false
    private let held = Gauge()

    init(
        name: String, input: BoundedStream<Int>, log: Recorder<String>, gate: Gate?, isStubborn: Bool = false
    ) {
        self.name = name
        self.input = input
        self.log = log
        self.gate = gate
        self.isStubborn = isStubborn
    }

    var rowsHeld: Int { held.current }

    func run() async throws {
        for await _ in input {
            held.add()
            log.record("\(name) took one")
            if isStubborn { await gate?.wait() } else { try await gate?.waitUnlessCancelled() }
            held.subtract()
        }
        try Task.checkCancellation()
        log.record("\(name) ended")
    }
}

private struct FailingStage: Stage {
    struct Failure: Error {}

    let name: String
    let log: Recorder<String>

    func run() async throws {
        await log.wait { $0.contains("receive sent all") }
        throw Failure()
    }
}
