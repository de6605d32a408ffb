import Hummingbird
import Pipeline

/// Stands before all endpoints: counts, limits, asks for the token, and gives every answer the headers that browsers need
/// to keep others out.
struct GuardMiddleware: RouterMiddleware {
    let site: AdminSite
    let access: @Sendable () -> AdminAccess
    let limiter: RateLimiter

    func handle(
        _ request: Request, context: AdminContext, next: (Request, AdminContext) async throws -> Response
    ) async throws -> Response {
        var response = try await answer(request, context, next)
        for (name, value) in Self.headers where response.headers[name] == nil { response.headers[name] = value }
        return response
    }

    private func answer(
        _ request: Request, _ context: AdminContext, _ next: (Request, AdminContext) async throws -> Response
    ) async throws -> Response {
        if let seconds = limiter.admit(context.peer.group) {
            await refused(request, context, "rate_limit", "more requests than admin.requests_per_second")
            var response = Response.json(
                .tooManyRequests,
                .error("rate_limit", "too many requests, try again in \(seconds) s (admin.requests_per_second)"))
            response.headers[.retryAfter] = "\(seconds)"
            return response
        }
        switch access().verdict(on: request) {
        case .admitted:
            let response = try await next(request, context)
            site.telemetry.adminRequests.add(reason: response.status.outcome)
            return response
        case .unauthorized:
            await refused(request, context, "unauthorized", "no token, or a wrong one")
            var response = Response.json(
                .unauthorized,
                .error("unauthorized", "show the token of admin.token: Authorization: Bearer …"))
            response.headers[.wwwAuthenticate] = "Bearer realm=\"sluice\""
            return response
        case .forbidden(let reason):
            await refused(request, context, "forbidden", reason)
            return .json(.forbidden, .error("forbidden", reason))
        }
    }

    /// Only paths that are ours get into the log: others are whatever somebody typed.
    private func refused(_ request: Request, _ context: AdminContext, _ outcome: String, _ reason: String) async {
        site.telemetry.adminRequests.add(reason: outcome)
        let path = AdminRouter.isKnown(request.uri.path) ? request.uri.path : "(unknown path)"
        await site.audit?.record(
            .init(
                actor: await context.peer.description(), action: "\(request.method.rawValue.prefix(10)) \(path)",
                outcome: .refused, detail: reason))
    }

    private static let headers: [(HeaderName, String)] = [
        (.xContentTypeOptions, "nosniff"), (.referrerPolicy, "no-referrer"), (.xFrameOptions, "DENY"),
        (.crossOriginResourcePolicy, "same-origin"), (.contentSecurityPolicy, "default-src 'none'"),
    ]
}

/// A header's name.
typealias HeaderName = HTTPFields.Element.Name

extension HeaderName {
    static let xFrameOptions = HeaderName("X-Frame-Options")!
    static let referrerPolicy = HeaderName("Referrer-Policy")!
    static let crossOriginResourcePolicy = HeaderName("Cross-Origin-Resource-Policy")!
}

extension HTTPResponse.Status {
    /// A bounded set, for metrics.
    fileprivate var outcome: String {
        switch kind {
        case .successful: "ok"
        case .clientError: self == .notFound ? "not_found" : "client_error"
        case .serverError: self == .notImplemented ? "not_supported" : "server_error"
        default: "other"
        }
    }
}
