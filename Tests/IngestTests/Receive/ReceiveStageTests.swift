import Foundation
import Logging
import NIOCore
import Pipeline
import TestSupport
import Testing

@testable import Ingest

@Suite(.endsEvenIfItHangs) struct ReceiveStageTests {
    @Test func linesOfAProducerArriveAndItIsToldTheEnd() async throws {
        let receiver = try await Receiver.run { receiver in
            try await receiver.deliver("{\"a\":1}\n{\"a\":2}\n{\"a\":3}")
        }
        #expect(receiver.allLines == ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"])
        #expect(receiver.telemetry.receivedBytes.current == 23)
        #expect(receiver.telemetry.sessionsOpened.current == 1)
        #expect(receiver.telemetry.producerConnections.current == 0)
        #expect(!FileManager.default.fileExists(atPath: receiver.path))
    }

    @Test func theFirstLineNamesTheTable() async throws {
        let receiver = try await Receiver.run { receiver in
            try await receiver.deliver("#sluice table=mstore\n{}\n")
            try await receiver.deliver("{}\n")
        }
        #expect(receiver.chunks.values.map(\.table) == ["mstore", nil])
    }

    @Test func aBadControlLineIsAnswered() async throws {
        let receiver = try await Receiver.run { receiver in
            let answer = try await receiver.send("#sluice tabel=mstore\n")
            #expect(
                answer
                    == "error: unknown key \"tabel\" in the control line (there are: table, ack, producer, epoch, format, columns, types, format_csv_delimiter)\n"
            )
        }
        #expect(receiver.allLines.isEmpty)
    }

    @Test func aThousandShortConnectionsAllArrive() async throws {
        let receiver = try await Receiver.run { receiver in
            try await offThePool {
                for number in 0..<1_000 { try receiver.client().write("{\"n\":\(number)}\n") }
            }
            await eventually { receiver.lines.count == 1_000 }
        }
        #expect(Set(receiver.allLines) == Set((0..<1_000).map { "{\"n\":\($0)}" }))
        #expect(receiver.telemetry.sessionsOpened.current == 1_000)
        #expect(receiver.telemetry.producerConnections.current == 0)
    }

    @Test func halfALineAndAClosedSocketIsALine() async throws {
        let receiver = try await Receiver.run { receiver in
            try await offThePool { try receiver.client().write("{}\n{\"half\"") }
            await eventually { receiver.allLines.count == 2 }
        }
        #expect(receiver.allLines == ["{}", "{\"half\""])
    }

    @Test func aLongLineHurtsOnlyItself() async throws {
        let long = String(repeating: "x", count: 5_000_000)
        let receiver = try await Receiver.run { receiver in
            try await receiver.deliver("{\"a\":1}\n\(long)\n{\"a\":2}\n")
        }
        #expect(receiver.allLines == ["{\"a\":1}", "{\"a\":2}"])
        let rejections = try receiver.rejections()
        #expect(rejections.count == 1)
        #expect(rejections.first?.reason == "line_too_long")
        #expect(rejections.first?.truncated == 5_000_000)
        #expect(rejections.first?.row == String(repeating: "x", count: 64 << 10))
        #expect(receiver.telemetry.receivedRows.current == 1)
        #expect(receiver.telemetry.snapshot().tables.first?.rejectedRows == ["line_too_long": 1])
    }

    @Test func bytesThatAreNoTextPassAsTheyAre() async throws {
        let bytes: [UInt8] = [0xFF, 0xFE, 0x00, 0xC3, 0x28, 0x0A]
        let receiver = try await Receiver.run { receiver in
            try await offThePool { try receiver.client().write(bytes) }
            await receiver.chunks.wait(count: 1)
        }
        #expect(receiver.chunks.values.map { Array($0.lines.readableBytesView) } == [bytes])
    }

    @Test func aProducerThatStopsInTheMiddleHoldsUpNobody() async throws {
        let receiver = try await Receiver.run { receiver in
            let silent = try await offThePool {
                let client = try receiver.client()
                try client.write("{\"never\":")
                return client
            }
            for number in 0..<20 { _ = try await receiver.send("{\"n\":\(number)}\n") }
            await eventually { receiver.allLines.count == 20 }
            _ = silent
            // At the stop it still has half a line.
            await receiver.stop()
            #expect(try await offThePool { try silent.readToEnd() } == "")
        }
        #expect(receiver.allLines == (0..<20).map { "{\"n\":\($0)}" })
        #expect(try receiver.rejections().map(\.reason) == ["incomplete_line"])
        #expect(try receiver.rejections().map(\.row) == ["{\"never\":"])
    }

    @Test func halfALineIsNotWaitedForForEver() async throws {
        let receiver = try await Receiver.run {
            $0.partialLineTimeout = .milliseconds(50)
        } _: { receiver in
            let answer = try await offThePool {
                let client = try receiver.client()
                try client.write("{}\n{\"half\"")
                return try client.readToEnd()
            }
            #expect(answer == "error: the rest of a line did not come in time\n")
        }
        #expect(receiver.allLines == ["{}"])
        #expect(try receiver.rejections().map(\.reason) == ["incomplete_line"])
    }

    @Test func aBlockedPipelineBlocksTheProducerAndLosesNothing() async throws {
        let lines = (0..<60_000).map { "{\"n\":\($0),\"pad\":\"\(String(repeating: "p", count: $0 % 97))\"}" }
        let bytes = Array((lines.joined(separator: "\n") + "\n").utf8)
        let receiver = try await Receiver.run(taking: false) {
            $0.queue = QueueSettings(elementsMax: 4, bytesMax: 64 << 10)
            $0.readBytesMax = 16 << 10
        } _: { receiver in
            let client = try receiver.client(nonBlocking: true)
            // Writes until the kernel takes no more, and the daemon holds all that it may.
            var sent = 0
            while receiver.stream.snapshot().sendersWaiting == 0 {
                while let count = try? client.writeSome(bytes[sent...].prefix(8 << 10)) { sent += count }
                await Task.yield()
            }
            while let count = try? client.writeSome(bytes[sent...].prefix(8 << 10)) { sent += count }
            #expect(sent < bytes.count / 2)
            let held = receiver.telemetry.receivedBytes.current
            #expect(held <= UInt64((64 << 10) + 3 * (16 << 10)))
            #expect(throws: UnixClient.Failure(call: "write", code: EAGAIN)) { try client.writeSome(bytes[sent...]) }
            #expect(receiver.telemetry.receivedBytes.current == held)
            receiver.taking.open()
            let rest = bytes[sent...]
            try await offThePool {
                _ = fcntl(client.descriptor, F_SETFL, 0)
                try client.write(Array(rest))
                client.closeWriting()
                #expect(try client.readToEnd() == "")
            }
        }
        #expect(receiver.allLines == lines)
        #expect(receiver.chunks.values.map(\.number) == (0..<UInt64(receiver.chunks.values.count)).map { $0 })
    }

    @Test func whatAProducerLeftBehindInABlockedPipelineArrives() async throws {
        let lines = (0..<3_000).map { "{\"n\":\($0)}" }
        let receiver = try await Receiver.run(taking: false) {
            $0.queue = QueueSettings(elementsMax: 1, bytesMax: 1 << 10)
            $0.readBytesMax = 2 << 10
        } _: { receiver in
            // The producer is gone before anything is taken, and so is the daemon's wish to read.
            try await offThePool { try receiver.client().write(lines.joined(separator: "\n") + "\n") }
            await eventually { receiver.stream.snapshot().sendersWaiting == 1 }
        }
        #expect(receiver.allLines == lines)
    }

    @Test func blockedProducersDoNotBlockEachOther() async throws {
        let text = (0..<2_000).map { "{\"n\":\($0)}\n" }.joined()
        let receiver = try await Receiver.run {
            $0.queue = QueueSettings(elementsMax: 2, bytesMax: 4 << 10)
            $0.readBytesMax = 2 << 10
        } _: { receiver in
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for _ in 0..<50 { tasks.addTask { try await receiver.deliver(text) } }
                try await tasks.waitForAll()
            }
        }
        #expect(receiver.lines.count == 50)
        for lines in receiver.lines.values { #expect(lines == (0..<2_000).map { "{\"n\":\($0)}" }) }
    }

    @Test func theLogNamesThePeerAndNothingOfItsRows() async throws {
        let logged = Recorder<String>()
        let logger = Logger(label: "test") { _ in RecordingLogHandler(lines: logged) }
        _ = try await Receiver.run(logger: logger) {
            $0.lineBytesMax = 10
        } _: { receiver in
            try await receiver.deliver("secret\n\(String(repeating: "secret", count: 10))\n")
        }
        let lines = logged.values
        #expect(lines.contains("session opened [gid=\(getgid()) pid=\(getpid()) session=1 uid=\(getuid())]"))
        #expect(lines.contains("line rejected [reason=line_too_long session=1]"))
        #expect(lines.contains("session closed [reason=ended session=1]"))
        #expect(!lines.contains { $0.contains("secret") })
    }

    @Test func oneConnectionTooManyIsToldSo() async throws {
        let receiver = try await Receiver.run {
            $0.connectionsMax = 2
        } _: { receiver in
            let open = try (0..<2).map { _ in try receiver.client() }
            await eventually { receiver.telemetry.producerConnections.current == 2 }
            let answer = try await offThePool { try receiver.client().readToEnd() }
            #expect(answer == "error: too many connections (limit 2)\n")
            // A place that is given back can be taken.
            for client in open { client.closeWriting() }
            await eventually { receiver.telemetry.producerConnections.current == 0 }
            try await receiver.deliver("{}\n")
        }
        #expect(receiver.telemetry.sessionsRefused.snapshot() == ["too_many_connections": 1])
        #expect(receiver.telemetry.sessionsOpened.current == 3)
    }

    @Test func aStopHandsOverAllThatWasTakenIn() async throws {
        let receiver = try await Receiver.run(taking: false) {
            $0.queue = QueueSettings(elementsMax: 2, bytesMax: 16 << 10)
            $0.readBytesMax = 8 << 10
        } _: { receiver in
            let client = try receiver.client(nonBlocking: true)
            let bytes = Array((0..<50_000).map { "{\"n\":\($0)}\n" }.joined().utf8)
            await eventually {
                _ = try? client.writeSome(bytes.prefix(64 << 10))
                return receiver.stream.snapshot().sendersWaiting == 1
            }
            await receiver.stop()
            await eventually { (try? UnixClient(path: receiver.path)) == nil }
            receiver.taking.open()
            _ = try? await offThePool {
                _ = fcntl(client.descriptor, F_SETFL, 0)
                return try client.readToEnd()
            }
        }
        let taken = receiver.chunks.values.reduce(0) { $0 + $1.byteCount }
        let halfLines = try receiver.rejections().reduce(0) { $0 + ($1.row?.utf8.count ?? 0) }
        #expect(taken > 0)
        #expect(UInt64(taken + halfLines) == receiver.telemetry.receivedBytes.current)
        #expect(receiver.stream.snapshot().isFinished)
    }
}
