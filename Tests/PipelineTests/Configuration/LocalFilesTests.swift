import Foundation
import Testing

@testable import Pipeline

@Suite struct LocalFilesTests {
    private func inDirectory(_ body: (String) throws -> Void) throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        try body(directory.path(percentEncoded: false))
    }

    private func write(_ text: String, to path: String, mode: Int = 0o644) throws {
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    @Test func filesAndDirectoriesAreRead() throws {
        try inDirectory { directory in
            try write(String(repeating: "x", count: 200_000), to: "\(directory)/long")
            try write("", to: "\(directory)/empty", mode: 0o600)
            let files = LocalFiles()
            #expect(try files.list(directory) == ["empty", "long"])
            #expect(try files.read("\(directory)/long", bytesMax: 200_000).count == 200_000)
            #expect(try files.read("\(directory)/empty", bytesMax: 10) == [])
            #expect(files.isWorldReadable("\(directory)/long") == true)
            #expect(files.isWorldReadable("\(directory)/empty") == false)
            #expect(files.isWorldReadable("\(directory)/none") == nil)
        }
    }

    @Test func whatCannotBeReadSaysWhy() throws {
        try inDirectory { directory in
            let files = LocalFiles()
            try write("12345", to: "\(directory)/file")
            #expect(throws: ConfigurationFileError(.other, "larger than 4")) {
                try files.read("\(directory)/file", bytesMax: 4)
            }
            #expect(throws: ConfigurationFileError(.notFound, "no such file or directory")) {
                try files.read("\(directory)/none", bytesMax: 4)
            }
            #expect(throws: ConfigurationFileError(.other, "is a directory")) { try files.read(directory, bytesMax: 4) }
            #expect(throws: ConfigurationFileError(.other, "not a directory")) { try files.list("\(directory)/file") }
        }
    }

    @Test func aRealConfigurationWithASecretIsLoaded() throws {
        try inDirectory { directory in
            try FileManager.default.createDirectory(atPath: "\(directory)/stages", withIntermediateDirectories: false)
            try write("log: {level: debug}\r\n", to: "\(directory)/sluice.yaml")
            try write("clickhouse: {password_file: ../pw}\n", to: "\(directory)/stages/ship.yaml")
            try write("s3cret\n", to: "\(directory)/pw", mode: 0o644)
            let loaded = try ConfigurationLoader(environment: [:]).load("\(directory)/sluice.yaml")
            #expect(loaded.settings.log.level == .debug)
            #expect(loaded.settings.ship.clickhouse.password == Secret("s3cret"))
            #expect(loaded.warnings.map(\.code) == [.exposedSecret])
        }
    }

    @Test func aByteOrderMarkIsNoPartOfTheFirstKey() throws {
        #expect(try loadConfiguration(["sluice.yaml": "\u{FEFF}log: {level: debug}\n"]).settings.log.level == .debug)
    }

    @Test func aMainFileThatIsNoMapIsRefused() {
        #expect(
            configurationErrors(["sluice.yaml": "- a\n"]) == [
                "sluice.yaml:1:1: expected a map with the keys admin, audit, database, log, shutdown_timeout, stages, watch_interval, got a list"
            ])
        #expect(
            configurationErrors(["sluice.yaml": "log: {}\n---\nlog: {}\n"]) == [
                "sluice.yaml:2:1: not valid here: a second YAML document"
            ])
    }
}
