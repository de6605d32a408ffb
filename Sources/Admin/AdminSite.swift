import Foundation
import Hummingbird
import Logging
import Pipeline

/// What the endpoints have in common, whichever listener they are asked on.
struct AdminSite: Sendable {
    var telemetry: Telemetry
    var logger = Logger(label: "admin") { _ in SwiftLogNoOpLogHandler() }
    var actions: any AdminActions = NoAdminActions()
    var audit: AuditLog?
    var streamsMax = AdminSettings().streamsMax
    var requestsPerSecond = AdminSettings().requestsPerSecond
    var clock = StageClock.continuous
    /// What the answers carry as their timestamp.
    var time: @Sendable () -> Date = { Date() }

    func observe() -> Observation { Observation(of: telemetry, at: time()) }

    func report(_ now: Observation) -> StatusReport {
        var report = StatusReport(now: now)
        report.rejections = telemetry.rejectionSamples.snapshot()
        report.producers = telemetry.producers()
        return report
    }
}

extension Response {
    static let jsonType = "application/json; charset=utf-8"

    static func json(_ status: HTTPResponse.Status, _ value: JSONValue) -> Response {
        text(status, value.line, type: jsonType)
    }

    static func text(_ status: HTTPResponse.Status, _ body: String, type: String) -> Response {
        bytes(status, ByteBuffer(string: body), type: type)
    }

    static func bytes(_ status: HTTPResponse.Status, _ body: ByteBuffer, type: String) -> Response {
        var headers = HTTPFields()
        headers[.contentType] = type
        headers[.contentLength] = String(body.readableBytes)
        // What is counted now is not what was counted then.
        headers[.cacheControl] = "no-store"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: body))
    }
}
