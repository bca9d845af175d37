import MartletClient
import Testing

/// Error lines as they come from nodes, and what may follow a failure.
@Suite struct ErrorTests {
    @Test func everyLineOfTheContractIsRead() {
        let lines: [(String, MartletError)] = [
            (
                "UNAVAILABLE op=write level=ALL required=3 alive=2 up=n1,n2 down=n3: nothing was sent; wait",
                .unavailable(
                    .init(
                        operation: "write", level: "ALL", required: 3, alive: 2, up: ["n1", "n2"],
                        down: ["n3"]))
            ),
            (
                "TIMEOUT op=read level=ONE required=1 acknowledged=0 acked= unknown=n3 after_ms=20: ask",
                .timeout(
                    .init(
                        operation: "read", level: "ONE", required: 1, acknowledged: 0, answered: [],
                        unknown: ["n3"], version: nil, after: .milliseconds(20)))
            ),
            (
                "OVERLOADED node=n1 limit=in_flight_max: refused",
                .overloaded(node: "n1", limit: "in_flight_max")
            ),
            (
                "SKEW node=n2 ahead_ms=-812 max_ms=500: set it right",
                .skew(node: "n2", aheadMilliseconds: -812, maxMilliseconds: 500)
            ),
            ("TOOLARGE what=key bytes=9 max=8 key=a: nothing", .tooLarge(what: "key", bytes: 9, max: 8)),
            ("SIBLINGS 2 concurrent versions of this key", .siblings(count: 2)),
            ("BADCONTEXT reason=checksum: it was damaged", .badContext(reason: "checksum")),
            ("LOADING waits=n2,n3: the ring forms", .loading(waitsFor: ["n2", "n3"])),
            ("STOPPING node=n1: nothing was sent", .stopping(node: "n1")),
            ("ERR value is=no field: x", .server(code: "ERR", text: "ERR value is=no field: x")),
        ]
        for (line, error) in lines { #expect(ErrorLine(line).error == error, "\(line)") }
    }

    @Test func unknownFieldsArePassedOver() {
        let line = "OVERLOADED future=1 node=n1 limit=x also=2 keys_failed=3 key=a\\x3ab: refused a=b: c"
        #expect(ErrorLine(line).error == .overloaded(node: "n1", limit: "x"))
    }

    @Test func aLineThatLacksAFieldOrHasASenselessOneIsAnErrorOfTheServer() {
        let lines = [
            "UNAVAILABLE op=write level=ALL required=three alive=2 up=n1 down=: x",
            "UNAVAILABLE: nothing", "UNAVAILABLE", "TIMEOUT op=write: level=ONE", "OVERLOADED limit=x: y",
            "OVERLOADED node=n1: limit=x", "SKEW node=n1 ahead_ms= max_ms=1: x", "SIBLINGS many", "", " ",
            ":",
            "BADCONTEXT Reason=x: y",
        ]
        for line in lines {
            guard case .server(_, line) = ErrorLine(line).error else {
                Issue.record("\(line): \(ErrorLine(line).error)")
                continue
            }
        }
    }

    @Test func everyErrorHasASentence() {
        let errors: [MartletError] = [
            ErrorLine(FailureTests.unavailable).error, ErrorLine(FailureTests.timeout).error,
            .overloaded(node: "n1", limit: "x"), .skew(node: "n1", aheadMilliseconds: 1, maxMilliseconds: 2),
            .tooLarge(what: "key", bytes: 2, max: 1), .siblings(count: 2), .badContext(reason: "key"),
            .loading(waitsFor: []), .stopping(node: "n1"), .server(code: "ERR", text: "ERR no such thing"),
            .noNode("refused"), .tooManyCalls(max: 1), .unexpectedAnswer("x y"), .invalidArgument("x is y"),
            .connectionLost(.init(mayHaveHappened: true, version: WriteVersion(text: "v"), node: "n")),
            .deadlineExceeded(.init(mayHaveHappened: false, version: nil, node: nil)),
            .cancelled(.init(mayHaveHappened: true, version: nil, node: nil)),
            .closed(.init(mayHaveHappened: false, version: nil, node: nil)),
        ]
        for error in errors { #expect("\(error)".contains(" ") || "\(error)" == "x y", "\(error)") }
        #expect(
            "\(errors[14])" == "the connection was lost (n): the write may have happened, under version v")
    }

    // MARK: What may follow

    private func traits(
        isRead: Bool = false, hasVersion: Bool = false, mayHappenTwice: Bool = false,
        takesVersion: Bool = true
    ) -> RetryPolicy.Traits {
        .init(
            isRead: isRead, takesVersion: takesVersion, hasVersion: hasVersion, mayHappenTwice: mayHappenTwice
        )
    }

    @Test func whatWasNotSentIsTriedAgain() {
        let unsent: [MartletError] = [
            ErrorLine(FailureTests.unavailable).error, .overloaded(node: "n1", limit: "x"),
            .skew(node: "n1", aheadMilliseconds: 1, maxMilliseconds: 2), .loading(waitsFor: []),
            .stopping(node: "n1"), .noNode("x"),
        ]
        for error in unsent {
            #expect(RetryPolicy.decision(error, traits()) == .retry)
            #expect(!RetryPolicy.isUncertain(error, isRead: false) && !error.mayHaveHappened)
        }
    }

    @Test func aTimedOutWriteIsOnlySentUnderItsVersion() {
        let known = ErrorLine(FailureTests.timeout).error
        let unknown = ErrorLine(FailureTests.timeout.replacing(" version=abc", with: "")).error
        #expect(RetryPolicy.decision(known, traits()) == .retryUnder(WriteVersion(text: "abc")))
        #expect(RetryPolicy.decision(unknown, traits()) == .fail)
        #expect(RetryPolicy.decision(known, traits(takesVersion: false)) == .fail)
        #expect(RetryPolicy.decision(unknown, traits(isRead: true)) == .retry)
        #expect(RetryPolicy.decision(unknown, traits(hasVersion: true)) == .retry)
        #expect(RetryPolicy.decision(unknown, traits(mayHappenTwice: true)) == .retry)
        #expect(RetryPolicy.isUncertain(known, isRead: false) && known.mayHaveHappened)
    }

    @Test func aLostWriteIsOnlySentAgainWhereThatIsSafeOrWanted() {
        let lost = MartletError.connectionLost(.init(mayHaveHappened: true, version: nil, node: nil))
        #expect(RetryPolicy.decision(lost, traits()) == .fail)
        #expect(RetryPolicy.decision(lost, traits(isRead: true)) == .retry)
        #expect(RetryPolicy.decision(lost, traits(hasVersion: true)) == .retry)
        #expect(RetryPolicy.decision(lost, traits(mayHappenTwice: true)) == .retry)
    }

    @Test func whatIsWrongWithTheRequestIsNotTriedAgain() {
        let errors: [MartletError] = [
            .server(code: "ERR", text: "ERR x"), .tooLarge(what: "key", bytes: 2, max: 1),
            .badContext(reason: "key"), .siblings(count: 2), .unexpectedAnswer("x"), .tooManyCalls(max: 1),
        ]
        for error in errors {
            #expect(RetryPolicy.decision(error, traits(isRead: true, mayHappenTwice: true)) == .fail)
        }
    }
}
