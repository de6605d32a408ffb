@testable import EventGenerator
import Testing
@Test func empty() {}
