import Foundation
import TestSupport
import Testing

/// `SLUICE_TEST_SIMULATIONS=100000` runs so many lives.
@Suite struct DeliverySimulationTests {
    private static let lives = ProcessInfo.processInfo.environment["SLUICE_TEST_SIMULATIONS"].flatMap { Int($0) } ?? 600

    @Test(arguments: Seeds.some(20)) func everyAckedRowLandsOnce(_ seed: UInt64) throws {
        var crashes = 0
        let lives = max(1, Self.lives / 20)
        for life in 0..<lives {
            // One seed is one life, too: a failure is repeated by its number.
            let own = seed &* 1_000_003 &+ UInt64(life)
            var simulation = try DeliverySimulation(seed: own)
            do {
                try simulation.run(steps: 60 + Int(own % 100))
            } catch {
                Issue.record("life \(own), step \(simulation.steps), \(simulation.crashes) crashes: \(error)")
                return
            }
            crashes += simulation.crashes
        }
        if lives > 100 { print("simulation, seed \(seed): \(lives) lives, \(crashes) crashes") }
    }

    /// Whoever fills it, and whenever: what is in the spool can be shipped, which makes room.
    @Test(arguments: Seeds.some(10)) func aFullDiskDrains(_ seed: UInt64) throws {
        let lives = max(1, Self.lives / 20)
        for life in 0..<lives {
            let own = seed &* 1_000_003 &+ UInt64(life)
            var simulation = try DeliverySimulation(seed: own, capacity: 8_000 + Int(own % 5_000))
            do {
                try simulation.run(steps: 100 + Int(own % 100))
            } catch {
                Issue.record("life \(own), step \(simulation.steps), \(simulation.crashes) crashes: \(error)")
                return
            }
        }
    }

    /// A file that went on growing was cut off to what it had been; a copy of what was damaged had no room; a reserve held up another.
    @Test(arguments: [21, 4000129, 3311211603605089, 249324171970285, 778157501465572] as [UInt64])
    func livesOnAFullDiskThatWentWrong(_ seed: UInt64)
        throws
    {
        var simulation = try DeliverySimulation(seed: seed, capacity: 8_000 + Int(seed % 5_000))
        try simulation.run(steps: 100 + Int(seed % 100))
    }

    /// Lives that once went wrong.
    @Test(arguments: [2840042229101131, 2403798512373921, 2019710574113571, 20, 8000038, 753975909920953] as [UInt64])
    func livesThatWentWrong(_ seed: UInt64) throws {
        var simulation = try DeliverySimulation(seed: seed)
        try simulation.run(steps: 60 + Int(seed % 100))
    }
}
