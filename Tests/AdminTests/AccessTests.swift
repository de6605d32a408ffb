import Foundation
import Hummingbird
import HummingbirdTesting
import Logging
import Pipeline
import TestSupport
import Testing

@testable import Admin

/// Who may do what, on each kind of listener.
@Suite final class AccessTests {
    private let token = "0123456789abcdef0123456789abcdef"
    private let telemetry = Telemetry()
    private let clock = ManualClock()
    private let directory = FileManager.default.temporaryDirectory.appending(path: "access-\(UUID().uuidString)")
    private var auditPath: String { directory.appending(path: "audit.log").path(percentEncoded: false) }

    private var stageClock: StageClock { StageClock(now: { [clock] in clock.now }, sleep: { _ in }) }

    init() throws { try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(at: directory) }

    private func site(requestsPerSecond: Int = 1_000) throws -> AdminSite {
        var settings = AuditSettings()
        settings.path = auditPath
        var site = AdminSite(telemetry: telemetry)
        site.audit = try AuditLog(settings: settings, logger: site.logger)
        site.requestsPerSecond = requestsPerSecond
        site.clock = stageClock
        return site
    }

    private func with<T: Sendable>(
        _ access: AdminAccess, _ site: AdminSite? = nil,
        _ body: @Sendable @escaping (any TestClientProtocol) async throws -> T
    ) async throws -> T {
        let router = AdminRouter.make(try site ?? self.site(), access: access)
        return try await Application(router: router).test(.router, body)
    }

    private func audited() throws -> [String] {
        try String(contentsOfFile: auditPath, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    @Test func withoutTheTokenThereIsNothingToSee() async throws {
        let token = token
        try await with(.token(Secret(token))) { client in
            for path in ["/status", "/metrics", "/metrics/prometheus", "/events"] {
                let none = try await client.execute(uri: path, method: .get)
                #expect(none.status == .unauthorized && none.headers[.wwwAuthenticate] == "Bearer realm=\"sluice\"")
                #expect(!String(buffer: none.body).contains(token))
            }
            for header in [
                "Bearer \(token)x", "Bearer \(token.dropLast())", "Bearer ", "Bearer", "Basic \(token)", token,
            ] {
                let wrong = try await client.execute(uri: "/status", method: .get, headers: [.authorization: header])
                #expect(wrong.status == .unauthorized, "\(header)")
            }
            for header in ["Bearer \(token)", "bearer \(token)"] {
                let right = try await client.execute(uri: "/status", method: .get, headers: [.authorization: header])
                #expect(right.status == .ok)
            }
        }
    }

    @Test func probesAndThePageNeedNoToken() async throws {
        telemetry.intake = .open
        try await with(.token(Secret(token))) { client in
            for path in ["/ping", "/health/live", "/health/ready", "/", "/dashboard.js", "/dashboard.css"] {
                let answer = try await client.execute(uri: path, method: .get)
                #expect(answer.status == .ok, "\(path)")
            }
        }
    }

    @Test func withTheTokenThingsCanBeChanged() async throws {
        let token = token
        try await with(.token(Secret(token))) { client in
            let refused = try await client.execute(uri: "/drain", method: .post)
            #expect(refused.status == .unauthorized)
            let answer = try await client.execute(
                uri: "/drain", method: .post, headers: [.authorization: "Bearer \(token)"])
            #expect(answer.status == .notImplemented)
        }
    }

    @Test func onLoopbackWithoutATokenEverybodyMayLookAndNobodyMayTouch() async throws {
        try await with(.loopback) { client in
            let look = try await client.execute(uri: "/status", method: .get)
            #expect(look.status == .ok)
            let touch = try await client.execute(uri: "/drain", method: .post)
            #expect(touch.status == .forbidden)
        }
    }

    @Test(
        arguments: [
            ("localhost:8090", true), ("127.0.0.1", true), ("127.0.0.1:1", true), ("[::1]:8090", true),
            ("LOCALHOST", true), ("evil.example", false), ("127.0.0.1.evil.example:8090", false), ("10.0.0.1", false),
            ("[2001:db8::1]:80", false), ("", false),
        ])
    func aNameThatIsNotThisMachinesIsRefusedOnLoopback(host: String, isAdmitted: Bool) {
        let request = Request(
            head: .init(method: .get, scheme: "http", authority: host, path: "/status"),
            body: .init(buffer: ByteBuffer()))
        #expect((AdminAccess.loopback.verdict(on: request) == .admitted) == isAdmitted)
    }

    @Test func nothingCanBeChangedOnLoopbackWithoutAToken() {
        let request = Request(
            head: .init(method: .post, scheme: "http", authority: "localhost", path: "/drain"),
            body: .init(buffer: ByteBuffer()))
        guard case .forbidden(let reason) = AdminAccess.loopback.verdict(on: request) else {
            Issue.record("admitted")
            return
        }
        #expect(reason.contains("admin.token") && reason.contains("admin.socket.path"))
    }

    @Test(
        arguments: [
            ("abc", "abc", true), ("abd", "abc", false), ("ab", "abc", false), ("abcabc", "abc", false),
            ("", "abc", false),
            ("", "", false), ("abca", "abc", false),
        ])
    func aTokenIsTheSameOrNot(sent: String, token: String, isSame: Bool) {
        #expect(AdminAccess.isSame(sent.utf8, token.utf8) == isSame)
    }

    @Test func refusalsAreWrittenDownWithoutWhatWasShown() async throws {
        let token = token
        try await with(.token(Secret(token))) { client in
            _ = try await client.execute(
                uri: "/status", method: .get, headers: [.authorization: "Bearer wrong-secret-of-somebody"])
            _ = try await client.execute(uri: "/\u{27}; drop table", method: .get)
        }
        let lines = try audited()
        #expect(lines.count == 2)
        #expect(lines[0].contains(#""action":"GET /status","outcome":"refused""#))
        #expect(lines[1].contains("(unknown path)"))
        #expect(
            !lines.joined().contains("wrong-secret") && !lines.joined().contains("drop")
                && !lines.joined().contains(token))
        #expect(telemetry.snapshot().adminRequests["unauthorized"] == 2)
    }

    @Test func whoAsksTooOftenHasToWait() async throws {
        let clock = clock
        try await with(.socket, try site(requestsPerSecond: 1)) { client in
            for _ in 0..<10 { #expect(try await client.execute(uri: "/ping", method: .get).status == .ok) }
            let refused = try await client.execute(uri: "/ping", method: .get)
            #expect(refused.status == .tooManyRequests && refused.headers[.retryAfter] == "1")
            clock.advance(by: .seconds(1))
            #expect(try await client.execute(uri: "/ping", method: .get).status == .ok)
        }
        #expect(telemetry.snapshot().adminRequests == ["ok": 11, "rate_limit": 1])
        #expect(try audited().count == 1)
    }

    @Test func everyPeerHasABucketOfItsOwnAndTheirNumberIsBounded() {
        let limiter = RateLimiter(perSecond: 1, clock: stageClock)
        for _ in 0..<10 { #expect(limiter.admit("a") == nil) }
        #expect(limiter.admit("a") != nil && limiter.admit("b") == nil)
        clock.advance(by: .seconds(1))
        for number in 0..<RateLimiter.peersMax { #expect(limiter.admit("p\(number)") == nil) }
        // Forgotten by now: it begins anew.
        #expect(limiter.admit("a") == nil)
    }

    @Test func everyAnswerKeepsBrowsersFromUsingItElsewhere() async throws {
        try await with(.socket) { client in
            for path in ["/ping", "/status", "/nowhere", "/"] {
                let headers = try await client.execute(uri: path, method: .get).headers
                #expect(headers[.xContentTypeOptions] == "nosniff" && headers[.xFrameOptions] == "DENY")
                #expect(headers[.contentSecurityPolicy]?.hasPrefix("default-src 'none'") == true)
                #expect(headers[.cacheControl] == "no-store")
            }
        }
    }
}
