import Foundation
import TestSupport
import Testing
import Yams

@testable import Pipeline

/// deploy/kubernetes: the stage files in the ConfigMaps are such as the daemon takes, and lie where its volumes put them.
@Suite struct KubernetesTests {
    private static let manifests = ["daemonset.yaml", "sidecar.yaml"]

    private func documents(_ name: String) throws -> [Node] {
        let path = ScriptRunner.root.appending(path: "deploy/kubernetes/\(name)")
        return try Array(compose_all(yaml: String(contentsOf: path, encoding: .utf8)))
    }

    /// All mappings in a document, the outer ones first.
    private func mappings(_ node: Node) -> [Node.Mapping] {
        switch node {
        case .mapping(let mapping): [mapping] + mapping.flatMap { mappings($0.value) }
        case .sequence(let sequence): sequence.flatMap { mappings($0) }
        default: []
        }
    }

    private struct Pod {
        let mappings: [Node.Mapping]
        let loaded: EffectiveConfiguration

        /// Values of a key, wherever it stands.
        func all(_ key: String) -> [Node] { mappings.compactMap { $0[key] } }
    }

    /// What runs there, with the ConfigMap's files where the volume puts them.
    private func pod(_ name: String) throws -> Pod {
        let all = try documents(name)
        let map = try #require(all.first { $0["kind"]?.string == "ConfigMap" }?["data"]?.mapping)
        let contents = Dictionary(map.map { ($0.key.string ?? "", $0.value.string ?? "") }) { $1 }
        let mappings = all.flatMap { self.mappings($0) }
        let volume = try #require(mappings.first { $0["configMap"] != nil }?["configMap"], "a volume of it")
        var files: [String: String] = [:]
        for item in volume["items"]?.sequence.map(Array.init) ?? [] {
            let key = try #require(item["key"]?.string)
            let text: String = try #require(contents[key], "\(key) is in the map")
            files[try #require(item["path"]?.string)] = text
        }
        #expect(files.count == contents.count, "every file is mounted")
        // The secrets, where the pod has them.
        files["/run/secrets/sluice/password"] = "a password"
        files["/run/secrets/sluice-admin/token"] = "0123456789abcdef"
        for path in ["sluice/ca.crt", "sluice-admin-tls/tls.crt", "sluice-admin-tls/tls.key"] {
            files["/run/secrets/\(path)"] = ""
        }
        return Pod(mappings: mappings, loaded: try loadConfiguration(files))
    }

    @Test(arguments: manifests)
    func theDaemonTakesItsConfigMap(name: String) throws {
        let pod = try pod(name)
        let settings = pod.loaded.settings
        #expect(pod.loaded.warnings.map(\.description) == [])
        #expect(settings.ship.sink == .clickhouse && settings.ship.clickhouse.secure)
        #expect(settings.ship.clickhouse.password.revealed == "a password")
        let mounts = pod.all("mountPath").compactMap(\.string)
        for path in [
            settings.receive.socketPath, settings.spool.directory, settings.validate.deadLetter.directory,
            settings.admin.socketPath ?? "",
        ] {
            #expect(mounts.contains { path.hasPrefix($0 + "/") }, "\(path) is in a volume")
        }
    }

    /// There is time to drain before the kubelet kills.
    @Test(arguments: manifests)
    func thePodWaitsForTheDrain(name: String) throws {
        let pod = try pod(name)
        let grace = pod.all("terminationGracePeriodSeconds").compactMap(\.int)
        #expect(grace.count == 1 && Double(grace[0]) > pod.loaded.settings.shutdownTimeout.seconds)
    }
}
