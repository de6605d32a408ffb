import Foundation
import Hummingbird
import Pipeline

/// The endpoints, without a socket.
public enum AdminRouter {
    /// - Parameter time: what the answers carry as their timestamp.
    public static func make(
        telemetry: Telemetry, time: @escaping @Sendable () -> Date = { Date() }
    ) -> Router<BasicRequestContext> {
        let router = Router()
        router.add(middleware: NotFoundMiddleware())
        let reports: @Sendable () -> Reports = { Reports(snapshot: telemetry.snapshot(), time: time()) }
        router.get("ping") { _, _ in json(reports().ping) }
        router.get("status") { _, _ in json(reports().status) }
        router.get("metrics") { request, _ in
            AcceptHeader(request.headers[.accept]).prefersPrometheus
                ? prometheus(reports().snapshot) : json(reports().metrics)
        }
        router.get("metrics/prometheus") { _, _ in prometheus(reports().snapshot) }
        return router
    }

    private static func json(_ value: JSONValue) -> Response {
        answer(.ok, value.line, type: "application/json; charset=utf-8")
    }

    private static func prometheus(_ snapshot: TelemetrySnapshot) -> Response {
        answer(.ok, PrometheusText.write(snapshot.families), type: PrometheusText.contentType)
    }

    fileprivate static func answer(_ status: HTTPResponse.Status, _ body: String, type: String) -> Response {
        let bytes = ByteBuffer(string: body)
        var headers = HTTPFields()
        headers[.contentType] = type
        headers[.contentLength] = String(bytes.readableBytes)
        // What is counted now is not what was counted then.
        headers[.cacheControl] = "no-store"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: bytes))
    }
}

/// Says what there is to somebody who asks for what is not there.
private struct NotFoundMiddleware: RouterMiddleware {
    func handle(
        _ request: Request, context: BasicRequestContext, next: (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as HTTPError where error.status == .notFound {
            let body = JSONValue.object([
                ("error", .text("not found")),
                (
                    "endpoints",
                    .array(["/ping", "/metrics", "/metrics/prometheus", "/status"].map { .text("GET \($0)") })
                ),
            ])
            return AdminRouter.answer(.notFound, body.line, type: "application/json; charset=utf-8")
        }
    }
}
