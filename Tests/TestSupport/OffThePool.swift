import Foundation

/// Runs what blocks on a thread of its own. Tasks have a thread for each core: where as many tests block as there are cores, what they
/// wait for is never done.
public func offThePool<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
    }
}
