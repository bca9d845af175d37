import MartletServer
import Testing

/// What common clients send before they do anything else, as their sources have it: each line is answered in
/// a way that the client goes on with.
@Suite struct ClientStartTests {
    /// What is sent, and what the answer begins with or, after `...`, contains.
    typealias Step = (send: String, answer: String)

    private static func play(_ steps: [Step], on face: RedisFace) throws {
        let (harness, cluster) = try ClusterTests.harness()
        let session = face == .cluster ? cluster : harness.client
        for step in steps {
            let answer = harness.ask(step.send, on: session)
            let matches =
                step.answer.hasPrefix("...")
                ? answer.contains(step.answer.dropFirst(3)) : answer.hasPrefix(step.answer)
            #expect(matches, "\(step.send) was answered \(answer.prefix(300))")
        }
    }

    /// Without cluster support: what follows HELLO says so.
    private static let mode = [RedisFace.single, .cluster]

    @Test(arguments: mode)
    func redisPy(face: RedisFace) throws {
        try Self.play(
            [
                ("HELLO 3", "%7|$6|server|$5|redis|"),
                ("CLIENT SETINFO LIB-NAME redis-py", "+OK|"), ("CLIENT SETINFO LIB-VER 8.1.0", "+OK|"),
                ("CLIENT SETNAME worker", "+OK|"), ("SELECT 0", "+OK|"), ("PING", "+PONG|"),
                ("COMMAND", "*"), ("GET nothing", "_|"),
            ], on: face)
    }

    @Test func redisPyCluster() throws {
        try Self.play(
            [
                ("HELLO 2", "*14|"), ("CLIENT SETINFO LIB-NAME redis-py", "+OK|"), ("READONLY", "+OK|"),
                ("CLUSTER SLOTS", "*4|*3|:0|:5000|*4|$9|127.0.0.1|:7380|"), ("COMMAND", "*"),
                ("INFO server", "...redis_mode:cluster|"),
            ], on: .cluster)
    }

    /// With `CLIENT MAINT_NOTIFICATIONS`, which only newer servers know.
    @Test(arguments: mode)
    func goRedis(face: RedisFace) throws {
        try Self.play(
            [
                ("HELLO 3 AUTH default secret SETNAME worker", "%7|"),
                ("CLIENT MAINT_NOTIFICATIONS ON", "-ERR unknown subcommand"),
                ("CLIENT SETINFO LIB-NAME go-redis(,go1.22)", "+OK|"),
                ("CLIENT SETINFO LIB-VER 9.7.0", "+OK|"), ("PING", "+PONG|"),
                ("CLUSTER SLOTS", face == .cluster ? "*4|" : "-ERR This instance has cluster support"),
                ("COMMAND", "*"),
                ("READONLY", face == .cluster ? "+OK|" : "-ERR This instance has cluster support"),
            ], on: face)
    }

    @Test(arguments: mode)
    func lettuce(face: RedisFace) throws {
        try Self.play(
            [
                ("HELLO 3", "%7|"), ("CLIENT SETINFO lib-name Lettuce", "+OK|"),
                ("CLIENT SETINFO lib-ver 6.5.0.RELEASE", "+OK|"), ("PING", "+PONG|"),
                (
                    "CLUSTER NODES",
                    face == .cluster
                        ? "...127.0.0.1:7380@7600 myself,master - 0 0 1 connected 0-5000\n"
                        : "-ERR This instance has cluster support"
                ),
                ("INFO", "...connected_clients:"), ("CLUSTER MYID", face == .cluster ? "$40|" : "-ERR"),
                ("COMMAND", "*"),
            ], on: face)
    }

    @Test(arguments: mode)
    func jedis(face: RedisFace) throws {
        try Self.play(
            [
                ("HELLO 2", "*14|"), ("AUTH default secret", "+OK|"), ("CLIENT SETNAME worker", "+OK|"),
                ("CLIENT SETINFO LIB-NAME jedis", "+OK|"), ("CLIENT SETINFO LIB-VER 5.2.0", "+OK|"),
                ("CLIENT NO-EVICT ON", "+OK|"), ("SELECT 0", "+OK|"),
                ("CLUSTER SLOTS", face == .cluster ? "*4|" : "-ERR This instance has cluster support"),
                ("PING", "+PONG|"),
            ], on: face)
    }

    /// Its tie-breaker and the channel of its configuration are optional: errors are taken for "no".
    @Test(arguments: mode)
    func stackExchange(face: RedisFace) throws {
        try Self.play(
            [
                ("HELLO 3 AUTH default secret", "%7|"), ("CLIENT SETNAME MACHINE(SE.Redis-v2.8)", "+OK|"),
                ("CLIENT SETINFO lib-name SE.Redis", "+OK|"), ("CLIENT SETINFO lib-ver 2.8.16", "+OK|"),
                ("CLIENT ID", ":"), ("CONFIG GET timeout", "%1|$7|timeout|$1|0|"),
                ("CONFIG GET slave-read-only", "%1|$15|slave-read-only|$3|yes|"),
                ("CONFIG GET databases", "%1|$9|databases|"),
                ("INFO replication", "...role:master|"), ("INFO server", "...redis_version:7.0.15|"),
                ("CLUSTER NODES", face == .cluster ? "...myself,master" : "-ERR This instance"),
                ("SENTINEL MASTERS", "-ERR unknown command 'SENTINEL'"),
                ("GET __Booksleeve_TieBreak", "_|"), ("ECHO 0123456789abcdef", "$16|0123456789abcdef|"),
                ("SUBSCRIBE __Booksleeve_MasterChanged", "-ERR "), ("PING", "+PONG|"),
            ], on: face)
    }

    @Test(arguments: mode)
    func redisCLI(face: RedisFace) throws {
        try Self.play(
            [
                ("HELLO 3", "%7|"), ("COMMAND DOCS", "%"), ("COMMAND", "*"), ("SELECT 0", "+OK|"),
                ("CLUSTER SHARDS", face == .cluster ? "*3|%2|$5|slots|" : "-ERR This instance"),
                ("CONFIG GET save", "%1|$4|save|$0||"),
                ("CONFIG GET appendonly", "%1|$10|appendonly|$3|yes|"),
            ], on: face)
    }
}
