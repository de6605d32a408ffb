import Dispatch
import Foundation
import NIOCore
import NIOPosix
import Pipeline
import SluiceClient
import TestSupport
import Testing

@Suite(.endsEvenIfItHangs) struct SluiceProducerTests {
    private func configuration(_ daemon: FakeDaemon, name: String? = "w", ack: SluiceAck = .durable)
        -> SluiceProducerConfiguration
    {
        var configuration = SluiceProducerConfiguration(socketPath: daemon.path, name: name, epoch: 1, ack: ack)
        configuration.retryDelayMin = .milliseconds(2)
        configuration.retryDelayMax = .milliseconds(20)
        return configuration
    }

    @Test(arguments: SluiceAck.allCases)
    func rowsArriveAndAreAcked(ack: SluiceAck) async throws {
        let daemon = try FakeDaemon()
        let events = Recorder<SluiceEvent>()
        try await daemon.run {
            let producer = SluiceProducer(configuration(daemon, ack: ack)) { events.record($0) }
            let first = try await producer.send("a\nb\n")
            let second = try await producer.send("c")
            #expect(first == 1...2 && second == 3...3)
            try await producer.flush()
            #expect(await producer.acked == 3)
            #expect(await producer.unackedBytes == 0)
            try await producer.close()
            await #expect(throws: SluiceClientError.self) { try await producer.send("d\n") }
        }
        #expect(daemon.rows("w") == ["a", "b", "c"])
        #expect(events.values.first == .connected(resume: 0))
        #expect(events.values.last == .acked(3))
    }

    @Test func aRejectedRowIsNamedBeforeItsAck() async throws {
        let daemon = try FakeDaemon()
        let events = Recorder<SluiceEvent>()
        try await daemon.run {
            let producer = SluiceProducer(configuration(daemon, name: nil)) { events.record($0) }
            try await producer.send("a\nbad\nc\n")
            try await producer.close()
        }
        guard case .rejected(let rejection) = events.values.dropFirst().first else {
            Issue.record("\(events.values)")
            return
        }
        #expect(rejection.row == 2 && rejection.reason == "type_mismatch" && rejection.column == "id")
        #expect(rejection.message == "not a number")
        #expect(events.values.last == .acked(3))
    }

    /// So slow that a few frames are too many, so fast that the test is not.
    private static func slow(_ settings: inout ReceiveSettings) {
        settings.rateLimit.producerBytes = ["*": 5_000]
        settings.rateLimit.burst = .milliseconds(50)
    }

    @Test(arguments: ["w", nil])
    func aProducerThatIsTooFastWaitsAndLosesNothing(name: String?) async throws {
        let daemon = try FakeDaemon(Self.slow)
        let events = Recorder<SluiceEvent>()
        let rows = (0..<1_000).map { "row \($0)" }
        try await daemon.run {
            var configuration = configuration(daemon, name: name)
            configuration.frameBytesMax = 512
            let producer = SluiceProducer(configuration) { events.record($0) }
            try await producer.send(rows.joined(separator: "\n"))
            try await producer.close()
        }
        #expect(daemon.ledger.rows.values.reduce(0) { $0 + $1.count } == 1_000 || name != nil)
        if let name { #expect(daemon.rows(name) == rows) }
        // Without a name it cannot be told what it has; here all was acked before each error.
        #expect(daemon.ledger.taken == 1_000)
        #expect(daemon.ledger.duplicates.isEmpty)
        #expect(
            events.values.contains {
                if case .disconnected(let why) = $0 { why.hasPrefix("rate_limit: more than 5000 bytes") } else { false }
            })
    }

    @Test func whoMayNotSendIsToldAndDoesNotTryForEver() async throws {
        let daemon = try FakeDaemon { $0.allowedUsers = ["\(getuid() &+ 12_345)"] }
        try await daemon.run {
            let producer = SluiceProducer(configuration(daemon))
            let error = await #expect(throws: SluiceClientError.self) { try await producer.send("a\n") }
            #expect(error?.code == .refused("not_allowed"))
            #expect(error?.message.contains("ask the operator") == true)
        }
    }

    @Test func sendWaitsWhileTheBufferIsFull() async throws {
        let daemon = try FakeDaemon(isDurable: false)
        try await daemon.run {
            var configuration = configuration(daemon)
            configuration.bufferBytesMax = 1_000
            let producer = SluiceProducer(configuration)
            let row = String(repeating: "x", count: 399) + "\n"
            try await producer.send(row)
            try await producer.send(row)
            let third = Task { try await producer.send(row) }
            // As long as the third: whichever of them comes first has no room.
            let fourth = Task { try await producer.send(row) }
            await eventually { daemon.ledger.taken == 2 }
            #expect(await producer.unackedBytes == 800)
            fourth.cancel()
            await #expect(throws: CancellationError.self) { try await fourth.value }
            daemon.durability.open()
            let numbers = try await third.value
            #expect(numbers == 3...3)
            try await producer.close()
        }
        #expect(daemon.rows("w").count == 3)
    }

    /// Writing the farewell is what finds the connection broken, at once.
    @Test func closingEndsThoughTheDaemonIsGoneByThen() async throws {
        let daemon = try FakeDaemon()
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let producer = SluiceProducer(configuration(daemon), eventLoop: loop)
        let goOn = DispatchSemaphore(value: 0)
        let closing = try await daemon.run {
            try await producer.send("a\n")
            try await producer.flush()
            // Until the daemon is gone, the producer hears nothing, and is asked to close.
            loop.execute { goOn.wait() }
            return Task { try await producer.close() }
        }
        goOn.signal()
        try await closing.value
        #expect(daemon.rows("w") == ["a"])
    }

    @Test func rowsLargerThanAFrameAreCutAtLines() async throws {
        let daemon = try FakeDaemon()
        let rows = (0..<2_000).map { "row \($0) " + String(repeating: "p", count: $0 % 50) }
        try await daemon.run {
            var configuration = configuration(daemon)
            configuration.frameBytesMax = 1_000
            configuration.rowBytesMax = 2_000
            let producer = SluiceProducer(configuration)
            try await producer.send(rows.joined(separator: "\n"))
            try await producer.send(String(repeating: "z", count: 1_500) + "\n")
            await #expect(throws: SluiceClientError.self) {
                try await producer.send(String(repeating: "z", count: 3_000) + "\n")
            }
            try await producer.close()
        }
        #expect(daemon.rows("w").prefix(2_000).elementsEqual(rows))
        #expect(daemon.rows("w").count == 2_001)
    }

    @Test func aRestartOfTheDaemonLosesAndDoublesNothing() async throws {
        let daemon = try FakeDaemon()
        let producer = SluiceProducer(configuration(daemon))
        for life in 0..<3 {
            try await daemon.run {
                for number in 0..<200 { try await producer.send("\(life) \(number)\n") }
            }
        }
        try await daemon.run { try await producer.close() }
        #expect(daemon.rows("w") == (0..<3).flatMap { life in (0..<200).map { "\(life) \($0)" } })
        #expect(daemon.ledger.duplicates.isEmpty)
    }

    @Test(arguments: Seeds.some(8))
    func connectionsThatBreakAnywhereLoseAndDoubleNothing(seed: UInt64) async throws {
        let daemon = try FakeDaemon()
        let rows = (0..<3_000).map { "row \($0)" }
        try await daemon.run {
            let proxy = try BreakingProxy(
                path: daemon.directory.file("p.sock"), target: daemon.path, seed: seed, breaks: 25)
            defer { proxy.stop() }
            var configuration = configuration(daemon)
            configuration.socketPath = proxy.path
            configuration.bufferBytesMax = 4_000
            configuration.frameBytesMax = 300
            let producer = SluiceProducer(configuration)
            var random = SeededRandom(seed: seed)
            var next = 0
            while next < rows.count {
                let count = min(rows.count - next, random.int(1...40))
                try await producer.send(rows[next..<next + count].joined(separator: "\n") + "\n")
                next += count
            }
            try await producer.close()
        }
        #expect(daemon.rows("w") == rows)
        #expect(daemon.ledger.duplicates.isEmpty)
    }

    @Test func aProducerWithoutANameSendsAgainWhatIsNotAcked() async throws {
        let daemon = try FakeDaemon()
        try await daemon.run {
            let proxy = try BreakingProxy(
                path: daemon.directory.file("p.sock"), target: daemon.path, seed: 1, breaks: 5)
            defer { proxy.stop() }
            var configuration = configuration(daemon, name: nil)
            configuration.socketPath = proxy.path
            let producer = SluiceProducer(configuration)
            for number in 0..<1_000 { try await producer.send("row \(number)\n") }
            try await producer.close()
        }
        #expect(Set(daemon.rows("")) == Set((0..<1_000).map { "row \($0)" }))
    }

    @Test func theNextRunGoesOnWhereTheLastOneWas() async throws {
        let daemon = try FakeDaemon()
        try await daemon.run {
            let first = SluiceProducer(configuration(daemon))
            try await first.send("a\nb\n")
            try await first.close()
            let second = SluiceProducer(configuration(daemon))
            let resume = try await second.connect()
            let numbers = try await second.send("c\n")
            #expect(resume == 2 && numbers == 3...3)
            try await second.close()
        }
        #expect(daemon.rows("w") == ["a", "b", "c"])
    }

    @Test func twoWithOneNameTakeTurnsAndDoNotMix() async throws {
        let daemon = try FakeDaemon()
        let events = Recorder<SluiceEvent>()
        try await daemon.run {
            let first = SluiceProducer(configuration(daemon)) { events.record($0) }
            try await first.send("a\n")
            try await first.flush()
            let second = SluiceProducer(configuration(daemon))
            let resume = try await second.connect()
            #expect(resume == 1)
            await events.wait {
                $0.contains { if case .disconnected(let why) = $0 { why.hasPrefix("taken_over") } else { false } }
            }
            try await second.send("b\n")
            try await second.flush()
            await second.abandon()
            // If the first had its turn again before row 2, it has heard by then that it is over.
            await events.wait { heard in
                for event in heard.reversed() {
                    if case .disconnected = event { return true }
                    if case .connected = event { return false }
                }
                return false
            }
            // It did not send row 2, and learns of it when it is back: a row that it gets meanwhile would be row 2 to it.
            await #expect(throws: SluiceClientError.self) {
                try await first.connect()
                try await first.send("c\n")
                try await first.flush()
                try await first.send("d\n")
                try await first.flush()
            }
        }
        #expect(daemon.ledger.duplicates.isEmpty)
    }

    @Test func whatADaemonForgotIsSaidAndTheRestArrives() async throws {
        let events = Recorder<SluiceEvent>()
        let first = try FakeDaemon()
        let producer = SluiceProducer(configuration(first)) { events.record($0) }
        try await first.run {
            try await producer.send("a\nb\n")
            try await producer.flush()
        }
        // Another daemon at the same address that knows nothing.
        let second = try FakeDaemon { [path = first.path] in $0.socketPath = path }
        try await second.run {
            try await producer.send("c\n")
            try await producer.close()
        }
        #expect(second.rows("w") == ["c"])
        #expect(events.values.contains(.daemonForgot(acked: 2, daemonHas: 0, epoch: 1)))
    }

    @Test func nobodyListeningIsSaidAtOnceIfThatWasAskedFor() async throws {
        let directory = try Directory()
        let producer = SluiceProducer(.init(socketPath: directory.file("none.sock")))
        let error = await #expect(throws: SluiceClientError.self) { try await producer.connect(triesOnce: true) }
        #expect(error?.code == .notConnected)
        #expect(error?.message == "no daemon listens on \(directory.file("none.sock"))")
    }

    @Test func aDaemonWithoutASpoolRefusesDurable() async throws {
        let daemon = try FakeDaemon(hasSpool: false)
        try await daemon.run {
            let producer = SluiceProducer(configuration(daemon))
            do {
                try await producer.send("a\n")
                Issue.record("granted")
            } catch let error as SluiceClientError {
                #expect(error.code == .refused("no_spool"))
            }
        }
    }

    @Test func aProducerGivesUpAfterAWhileIfItShall() async throws {
        let directory = try Directory()
        var configuration = SluiceProducerConfiguration(socketPath: directory.file("none.sock"))
        configuration.giveUpAfter = .milliseconds(30)
        configuration.retryDelayMin = .milliseconds(1)
        let producer = SluiceProducer(configuration)
        await #expect(throws: SluiceClientError.self) { try await producer.send("a\n") }
    }
}
