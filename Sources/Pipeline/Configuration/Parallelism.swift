import Foundation

extension ReceiveSettings {
    /// `threads`, or for 0 one for four cores.
    public var threadsOrDefault: Int { threads > 0 ? threads : oneFor(cores: 4) }
}

extension ValidateSettings {
    /// `workers`, or for 0 one for two cores.
    public var workersOrDefault: Int { workers > 0 ? workers : oneFor(cores: 2) }
}

extension CompressSettings {
    /// `workers`, or for 0 one for two cores.
    public var workersOrDefault: Int { workers > 0 ? workers : oneFor(cores: 2) }
}

private func oneFor(cores: Int) -> Int { max(1, processors / cores) }

/// Asked for once: each time it would be read from files of the system's.
private let processors = ProcessInfo.processInfo.activeProcessorCount
