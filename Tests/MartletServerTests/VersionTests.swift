import FakeServer
import MartletBase
import MartletNode
import MartletRing
import MartletServer
import MartletVersions
import Testing

/// CONSISTENCY, VGET, VSET, VDEL, and which levels requests carry.
@Suite struct VersionTests {
    static func field(_ reply: String, _ index: Int) -> String {
        reply.split(separator: "|", omittingEmptySubsequences: false).map(String.init)[index]
    }

    @Test func versionsGoAroundInBothProtocols() {
        let harness = Harness()
        #expect(harness.ask("VGET a") == "*2|$-1|*0|")
        let written = harness.ask("VSET a 1")
        let token = Self.field(written, 2)
        #expect(written == "*2|$\(token.count)|\(token)|$\(token.count)|\(token)|")
        #expect(harness.ask("VGET a") == "*2|$\(token.count)|\(token)|*1|$1|1|")
        let later = Self.field(harness.ask("VSET a 2 CONTEXT \(token)"), 2)
        #expect(later != token)
        #expect(harness.ask("GET a") == "$1|2|")
        // A version that is sent again doesn't overtake what came after it.
        #expect(Self.field(harness.ask("VSET a 3 VERSION \(token)"), 4) == token)
        #expect(harness.ask("GET a") == "$1|2|")
        let deleted = Self.field(harness.ask("VDEL a CONTEXT \(later)"), 2)
        #expect(harness.ask("VGET a") == "*2|$\(deleted.count)|\(deleted)|*0|")
        harness.ask("HELLO 3")
        #expect(
            harness.ask("VGET a") == "%2|$7|context|$\(deleted.count)|\(deleted)|$6|values|*0|")
        #expect(harness.ask("VGET never") == "%2|$7|context|_|$6|values|*0|")
        let again = harness.ask("VSET a 1 EX 100")
        let newest = Self.field(again, 4)
        #expect(
            again == "%2|$7|context|$\(newest.count)|\(newest)|$7|version|$\(newest.count)|\(newest)|")
        #expect(harness.ask("TTL a") == ":100|")
        #expect(harness.ask("VSET a 1 KEEPTTL").hasPrefix("%2|"))
        #expect(harness.ask("TTL a") == ":100|")
    }

    @Test func metaTellsAll() {
        let harness = Harness()
        let token = Self.field(harness.ask("VSET a 1 PXAT 1700000009999"), 2)
        let size = token.count
        #expect(
            harness.ask("VGET a META")
                == "*2|$\(size)|\(token)|*1|*5|$1|1|$\(size)|\(token)|$20|"
                + "00000000000000ab.3.0|:1700000009999|:0|"
        )
        harness.ask("HELLO 3")
        #expect(
            harness.ask("VGET a META LOCAL").hasSuffix(
                "*1|%5|$5|value|$1|1|$7|version|$\(size)|\(token)|$6|writer|$20|00000000000000ab.3.0|"
                    + "$13|expires_at_ms|:1700000009999|$9|tombstone|:0|"))
        harness.ask("DEL a")
        #expect(harness.ask("VGET a META").contains("$5|value|_|"))
        #expect(harness.ask("VGET a META").hasSuffix("$13|expires_at_ms|:-1|$9|tombstone|:1|"))
        #expect(harness.ask("VGET a").hasSuffix("$6|values|*0|"))
        #expect(harness.ask("VGET never META").hasSuffix("$6|values|*0|"))
    }

    @Test func badContextsAreRefused() {
        let harness = Harness()
        let token = Self.field(harness.ask("VSET a 1"), 2)
        let refusal = { (reason: String) in "-BADCONTEXT reason=\(reason): " }
        #expect(harness.ask("VSET b 1 CONTEXT \(token)").hasPrefix(refusal("key")))
        #expect(harness.ask("VSET a 1 CONTEXT \(token.dropLast(2))AA").hasPrefix(refusal("checksum")))
        #expect(harness.ask("VSET a 1 CONTEXT x").hasPrefix(refusal("truncated")))
        #expect(harness.ask("VDEL a VERSION \(token.dropLast(1))").hasPrefix("-BADCONTEXT"))
        harness.backend.now.wall = WallTime(milliseconds: 1_600_000_000_000)
        #expect(harness.ask("VSET a 1 CONTEXT \(token)").hasPrefix(refusal("future")))
        #expect(harness.ask("VDEL a VERSION \(token)").hasPrefix(refusal("future")))
    }

    @Test func levelsOfTheSession() {
        let harness = Harness()
        CommandTests.check(
            [
                ("CONSISTENCY", "*2|$6|QUORUM|$6|QUORUM|"), ("CONSISTENCY one", "+OK|"),
                ("CONSISTENCY", "*2|$3|ONE|$3|ONE|"), ("consistency Local_Quorum any", "+OK|"),
                ("CONSISTENCY", "*2|$12|LOCAL_QUORUM|$3|ANY|"), ("GET a", "$-1|"), ("SET a 1", "+OK|"),
                ("DEL a", ":1|"), ("CONSISTENCY DEFAULT", "+OK|"), ("GET a", "$-1|"),
                ("CONSISTENCY", "*2|$6|QUORUM|$6|QUORUM|"), ("CONSISTENCY TWO ALL", "+OK|"),
                ("RESET", "+RESET|"), ("CONSISTENCY", "*2|$6|QUORUM|$6|QUORUM|"), ("SELECT 1", "+OK|"),
                ("CONSISTENCY", "*2|$3|ONE|$3|ALL|"), ("HELLO 2", CommandTests.hello),
            ], harness)
        let levels = harness.backend.submitted.map(\.level)
        #expect(levels == [.localQuorum, .any, .localQuorum, .any, nil])
        harness.ask("HELLO 3")
        #expect(harness.ask("CONSISTENCY") == "%2|$4|read|$3|ONE|$5|write|$3|ALL|")
    }

    @Test func levelsAndOptionsOfOneRequest() {
        let harness = Harness()
        harness.ask("CONSISTENCY ONE")
        harness.ask("VGET a CONSISTENCY all TIMEOUT 50")
        harness.ask("VSET a 1 timeout 70 consistency ANY")
        harness.ask("VDEL a CONSISTENCY EACH_QUORUM")
        harness.ask("VGET a LOCAL")
        let requests = harness.backend.submitted
        #expect(requests.map(\.level) == [.all, .any, .eachQuorum, nil])
        #expect(requests.map(\.timeout) == [.milliseconds(50), .milliseconds(70), nil, nil])
        guard case .getLocal = requests[3].operation else {
            Issue.record("LOCAL isn't local")
            return
        }
    }

    @Test func errors() {
        let reads = "ONE TWO THREE QUORUM ALL LOCAL_ONE LOCAL_QUORUM EACH_QUORUM"
        CommandTests.check([
            ("CONSISTENCY any", "-ERR ANY is a write level: a read takes one of \(reads)|"),
            ("CONSISTENCY ANY ONE", "-ERR ANY is a write level: a read takes one of \(reads)|"),
            ("CONSISTENCY x", "-ERR unknown consistency level 'x': it is one of \(reads)|"),
            ("CONSISTENCY ONE x", "-ERR unknown consistency level 'x': it is one of ANY \(reads)|"),
            ("CONSISTENCY a b c", "-ERR wrong number of arguments for 'consistency' command|"),
            ("VGET a CONSISTENCY ANY", "-ERR ANY is a write level: a read takes one of \(reads)|"),
            ("VGET a CONSISTENCY", "-ERR syntax error|"), ("VGET a LOCAL LOCAL", "-ERR syntax error|"),
            ("VGET a LOCAL CONSISTENCY ONE", "-ERR syntax error|"),
            ("VGET a CONTEXT x", "-ERR syntax error|"),
            ("VGET a EX 1", "-ERR syntax error|"), ("VGET a foo", "-ERR syntax error|"),
            ("VGET a TIMEOUT 0", "-ERR timeout is not an integer or out of range|"),
            ("VGET a TIMEOUT x", "-ERR timeout is not an integer or out of range|"),
            ("VGET a TIMEOUT 3600001", "-ERR timeout is not an integer or out of range|"),
            ("VGET", "-ERR wrong number of arguments for 'vget' command|"),
            ("VSET a", "-ERR wrong number of arguments for 'vset' command|"),
            ("VSET a 1 EX 1 PX 1", "-ERR syntax error|"), ("VSET a 1 EX 1 EX 1", "-ERR syntax error|"),
            ("VSET a 1 EX 0", "-ERR invalid expire time in 'vset' command|"),
            ("VSET a 1 EX x", "-ERR value is not an integer or out of range|"),
            ("VSET a 1 META", "-ERR syntax error|"), ("VDEL a KEEPTTL", "-ERR syntax error|"),
        ])
    }

    /// A keyspace's ttl is that of values that don't say theirs.
    @Test func theKeyspaceHasItsOwnTimeToLive() {
        let harness = Harness()
        CommandTests.check(
            [
                ("SELECT sessions", "+OK|"), ("SET a 1", "+OK|"), ("TTL a", ":60|"), ("SET a 1 EX 5", "+OK|"),
                ("TTL a", ":5|"), ("PERSIST a", ":1|"), ("SET a 2 KEEPTTL", "+OK|"), ("TTL a", ":-1|"),
                ("SET n 2 KEEPTTL", "+OK|"), ("TTL n", ":60|"), ("MSET m 1", "+OK|"), ("TTL m", ":60|"),
                ("SELECT 0", "+OK|"), ("GET a", "$-1|"), ("SET a 1", "+OK|"), ("TTL a", ":-1|"),
            ], harness)
        #expect(harness.backend.submitted.first?.keyspace == 7)
    }
}
