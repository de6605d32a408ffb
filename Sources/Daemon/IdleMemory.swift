import CSluice
import ClickHouseNative

/// Memory that was used in a busy moment and lies between what is used still: the C library gives back by itself only what is at the end.
enum IdleMemory {
    /// So much may lie idle, in bytes: at full rate it is used again at once.
    static let bytesMax = 32 << 20
    /// How often it is looked at.
    static let interval: Duration = .seconds(10)

    /// Ends when it is cancelled.
    static func watch(_ buffers: BufferPool) async {
        while (try? await Task.sleep(for: interval)) != nil {
            buffers.trim()
            sluice_give_memory_back(bytesMax)
        }
    }
}
