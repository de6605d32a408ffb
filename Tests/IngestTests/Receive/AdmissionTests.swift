import Foundation
import Pipeline
import TestSupport
import Testing

@testable import Ingest

/// Who may connect, and how fast rows may come, through a real socket.
@Suite(.endsEvenIfItHangs) struct AdmissionTests {
    private static let me = getuid()
    /// A user that is surely not the one who tests.
    private static let stranger = "\(getuid() &+ 12_345)"

    @Test func aUserWhoMayNotIsToldSoCountedAndReported() async throws {
        let receiver = try await Receiver.run {
            $0.allowedUsers = [Self.stranger]
        } _: { receiver in
            let answer = try await offThePool { try receiver.client().readToEnd() }
            #expect(
                answer
                    == "error: not_allowed: user \(Self.me) (group \(getgid())) may not send rows here; ask the operator\n"
            )
        }
        #expect(receiver.telemetry.sessionsRefused.snapshot() == ["not_allowed": 1])
        #expect(receiver.telemetry.sessionsOpened.current == 0)
        #expect(
            receiver.refusals.values == [
                PeerRefusal(peer: "unix uid \(Self.me) gid \(getgid()) pid \(getpid())", reason: "not_allowed")
            ])
        #expect(receiver.allLines.isEmpty)
    }

    @Test func aUserOrAGroupThatMayIsLetIn() async throws {
        for configure in [
            { @Sendable (settings: inout ReceiveSettings) in settings.allowedUsers = [Self.stranger, "\(Self.me)"] },
            { settings in
                settings.allowedUsers = [Self.stranger]
                settings.allowedGroups = ["\(getgid())"]
            },
        ] {
            let receiver = try await Receiver.run(configure) { try await $0.deliver("{}\n") }
            #expect(receiver.allLines == ["{}"])
        }
    }

    @Test func rulesAreOfUsersGroupsAndSupplementaryGroups() throws {
        var settings = ReceiveSettings()
        settings.allowedUsers = ["root"]
        settings.allowedGroups = ["4000"]
        let rules = try PeerRules(settings)
        #expect(rules.admit(Peer(user: 0, group: 7, process: 1)))
        #expect(rules.admit(Peer(user: 7, group: 4000, process: 1)))
        #expect(rules.admit(Peer(user: 7, group: 7, process: 1, groups: [1, 4000])))
        #expect(!rules.admit(Peer(user: 7, group: 7, process: 1, groups: [1, 2])))
        #expect(!rules.admit(nil))
        #expect(try PeerRules(ReceiveSettings()).admit(nil))
    }

    @Test func aNameThatTheSystemDoesNotKnowIsAnError() {
        var settings = ReceiveSettings()
        settings.allowedUsers = ["nobody-of-this-name"]
        #expect(throws: ReceiveError.self) { try PeerRules(settings) }
    }

    @Test func aUserHasOnlySoManySessions() async throws {
        let receiver = try await Receiver.run {
            $0.connectionsPerUserMax = 1
        } _: { receiver in
            let open = try receiver.client()
            await eventually { receiver.telemetry.producerConnections.current == 1 }
            let answer = try await offThePool { try receiver.client().readToEnd() }
            #expect(answer == "error: too many connections of this user (limit 1)\n")
            open.closeWriting()
            await eventually { receiver.telemetry.producerConnections.current == 0 }
            try await receiver.deliver("{}\n")
        }
        #expect(receiver.telemetry.sessionsRefused.snapshot() == ["too_many_of_user": 1])
    }

    @Test func whoMayNotAnyMoreIsSentAwayWithHisWholeLinesTaken() async throws {
        let receiver = try await Receiver.run { receiver in
            let client = try receiver.client()
            try await offThePool { try client.write("{\"a\":1}\n{\"half") }
            await eventually { receiver.allLines.count == 1 }
            #expect(throws: ReceiveError.self) {
                try receiver.reconfigure { $0.allowedUsers = ["nobody-of-this-name"] }
            }
            try receiver.reconfigure { $0.allowedUsers = [Self.stranger] }
            let told = try await offThePool { try client.readToEnd() }
            #expect(told.hasPrefix("error: user \(Self.me) (group"))
            let answer = try await offThePool { try receiver.client().readToEnd() }
            #expect(answer.hasPrefix("error: not_allowed: "))
            try receiver.reconfigure { $0.allowedUsers = [] }
            try await receiver.deliver("{\"a\":2}\n")
        }
        #expect(Set(receiver.allLines) == ["{\"a\":1}", "{\"a\":2}"])
        #expect(receiver.telemetry.sessionErrors.snapshot() == ["not_allowed": 1])
    }

    @Test func aPlainProducerThatIsTooFastIsSlowedAndLosesNothing() async throws {
        let lines = (0..<2_000).map { "{\"n\":\($0)}" }
        let receiver = try await Receiver.run {
            $0.rateLimit.producerRows = ["*": 20_000]
            $0.rateLimit.burst = .milliseconds(10)
            $0.readBytesMax = 4096
        } _: { receiver in
            try await receiver.deliver(lines.joined(separator: "\n") + "\n")
        }
        #expect(receiver.allLines == lines)
        #expect((receiver.telemetry.rateLimited.snapshot()["producer_rows"] ?? 0) > 0)
        #expect((receiver.telemetry.rateLimitedTime.snapshot()["producer_rows"] ?? 0) > 0)
    }

    @Test func otherLimitsCountForSessionsThatAreOpen() async throws {
        let receiver = try await Receiver.run {
            $0.rateLimit.producerBytes = ["*": 1]
            $0.rateLimit.burst = .milliseconds(10)
        } _: { receiver in
            let client = try receiver.client()
            // This alone is owed for the length of a test run.
            try await offThePool { try client.write("{\"a\":\"\(String(repeating: "x", count: 600))\"}\n") }
            await eventually { receiver.telemetry.rateLimited.snapshot() != [:] }
            try receiver.reconfigure { $0.rateLimit = RateLimitSettings() }
            try await offThePool { try client.write("{}\n") }
            await eventually { receiver.allLines.count == 2 }
        }
        #expect(receiver.allLines.count == 2)
    }
}
