import Foundation
import Hummingbird
import Pipeline

/// The endpoints, without a socket.
enum AdminRouter {
    private static let readable = [
        "/", "/ping", "/metrics", "/metrics/prometheus", "/status", "/events", "/health/live", "/health/ready",
    ]
    private static let assets = ["/dashboard.css", "/dashboard.js"]

    /// - Parameter access: looked at with each request.
    static func make(
        _ site: AdminSite, access: @escaping @autoclosure @Sendable () -> AdminAccess
    ) -> Router<AdminContext> {
        let router = Router(context: AdminContext.self, options: .autoGenerateHeadEndpoints)
        router.add(
            middleware: GuardMiddleware(
                site: site, access: access,
                limiter: RateLimiter(perSecond: site.requestsPerSecond, clock: site.clock)))
        router.add(middleware: NotFoundMiddleware())
        router.get("ping") { _, _ in Response.json(.ok, Reports(site.observe()).ping) }
        router.get("metrics") { request, _ -> Response in
            switch AcceptHeader(request.headers[.accept]).metricsFormat {
            case .json: .json(.ok, Reports(site.observe()).metrics)
            case .prometheus: metrics(site, .prometheus)
            case .openMetrics: metrics(site, .openMetrics)
            }
        }
        router.get("metrics/prometheus") { request, _ in
            let isOpenMetrics = AcceptHeader(request.headers[.accept]).textFormat == .openMetrics
            return metrics(site, isOpenMetrics ? .openMetrics : .prometheus)
        }
        router.get("status") { _, _ in Response.json(.ok, site.report(site.observe()).json) }
        router.get("health/live") { _, _ in Response.json(.ok, .object([("status", .text("ok"))])) }
        router.get("health/ready") { _, _ in readiness(site) }
        EventStream(site: site).add(to: router)
        DashboardRoutes.add(to: router)
        ActionRoutes(site: site).add(to: router)
        return router
    }

    /// Whether a path is one of ours: what is not, is somebody's text.
    static func isKnown(_ path: String) -> Bool {
        readable.contains(path) || assets.contains(path) || isAction(path)
    }

    fileprivate static func isAction(_ path: String) -> Bool {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        if parts.count == 2, parts[0].isEmpty { return ActionRoutes.names.contains(String(parts[1])) }
        return parts.count == 4 && parts[0].isEmpty && parts[1] == "tables" && parts[3] == "flush"
            && parts[2].removingPercentEncoding.flatMap { TableName(parsing: $0) } != nil
    }

    private static func metrics(_ site: AdminSite, _ format: MetricsText.Format) -> Response {
        .text(.ok, MetricsText.write(site.observe().families, as: format), type: format.contentType)
    }

    /// Ready is who takes rows. That ClickHouse is away is not in it: rows are taken all the same, and whoever takes a
    /// program out of service for it makes one outage into two. The health says how the sink fares.
    private static func readiness(_ site: AdminSite) -> Response {
        let snapshot = site.telemetry.snapshot()
        let isReady = snapshot.intake == .open
        return .json(
            isReady ? .ok : .serviceUnavailable,
            .object([
                ("status", .text(isReady ? "ok" : "not_ready")), ("intake", .text(snapshot.intake.rawValue)),
                ("health", .text(snapshot.health.rawValue)),
            ]))
    }

    fileprivate static let endpoints = JSONValue.array(
        (readable.map { "GET \($0)" } + ActionRoutes.names.map { "POST /\($0)" } + ["POST /tables/{table}/flush"])
            .map { .text($0) })
}

/// Says what there is to somebody who asks for what is not there.
private struct NotFoundMiddleware: RouterMiddleware {
    func handle(
        _ request: Request, context: AdminContext, next: (Request, AdminContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as HTTPError where error.status == .notFound {
            let path = request.uri.path
            guard AdminRouter.isKnown(path) else {
                return .json(
                    .notFound,
                    .object([
                        ("error", .text("not_found")), ("message", .text("there is no such endpoint")),
                        ("endpoints", AdminRouter.endpoints),
                    ]))
            }
            let allowed = AdminRouter.isAction(path) ? "POST" : "GET, HEAD"
            var response = Response.json(
                .methodNotAllowed, .error("method_not_allowed", "this endpoint takes \(allowed)"))
            response.headers[.allow] = allowed
            return response
        }
    }
}
