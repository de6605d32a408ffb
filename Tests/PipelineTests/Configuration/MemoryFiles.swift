@testable import Pipeline

/// Files that exist only in a test.
struct MemoryFiles: ConfigurationFiles {
    var contents: [String: String] = [:]
    var worldReadable: Set<String> = []

    func read(_ path: String, bytesMax: Int) throws(ConfigurationFileError) -> [UInt8] {
        guard let text = contents[path] else { throw ConfigurationFileError(.notFound, "no such file or directory") }
        return Array(text.utf8)
    }

    func isWorldReadable(_ path: String) -> Bool? { worldReadable.contains(path) }

    func list(_ directory: String) throws(ConfigurationFileError) -> [String] {
        let prefix = directory == "." ? "" : directory + "/"
        let names = contents.keys.filter { $0.hasPrefix(prefix) }.map { $0.dropFirst(prefix.count) }
        guard !names.isEmpty else { throw ConfigurationFileError(.notFound, "no such file or directory") }
        return Set(names.map { String($0.split(separator: "/")[0]) }).sorted()
    }
}

/// Loads `sluice.yaml` and stage files from texts.
func loadConfiguration(
    _ files: [String: String] = [:], main: String? = "sluice.yaml", environment: [String: String] = [:],
    worldReadable: Set<String> = []
) throws(ConfigurationFailure) -> EffectiveConfiguration {
    var files = files
    if let main, files[main] == nil { files[main] = "" }
    let memory = MemoryFiles(contents: files, worldReadable: worldReadable)
    return try ConfigurationLoader(files: memory, environment: environment).load(main)
}

/// The errors' texts; empty when there is none.
func configurationErrors(
    _ files: [String: String] = [:], main: String? = "sluice.yaml", environment: [String: String] = [:]
) -> [String] {
    do throws(ConfigurationFailure) {
        _ = try loadConfiguration(files, main: main, environment: environment)
        return []
    } catch { return error.errors.map(\.description) }
}
