import Foundation
import Synchronization

/// How often a file was closed that somebody else had open. Whoever closes a number twice closes what has got it in between: a thread opens
/// files all the while, and looks whether they stay so.
public func filesClosedByOthers(during body: () throws -> Void) rethrows -> Int {
    let watch = DescriptorWatch()
    Thread.detachNewThread { watch.run() }
    defer { watch.end() }
    try body()
    watch.end()
    return watch.closed.load(ordering: .relaxed)
}

private final class DescriptorWatch: Sendable {
    let closed = Atomic(0)
    private let hasEnded = Atomic(false)
    private let thread = DispatchSemaphore(value: 0)

    func run() {
        while !hasEnded.load(ordering: .relaxed) {
            let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { continue }
            let isOurs = (0..<16).allSatisfy { _ in fcntl(descriptor, F_GETFD) >= 0 }
            if isOurs { close(descriptor) } else { closed.add(1, ordering: .relaxed) }
        }
        thread.signal()
    }

    func end() {
        hasEnded.store(true, ordering: .relaxed)
        thread.wait()
        thread.signal()
    }
}
