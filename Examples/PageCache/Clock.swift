import Glibc

/// The time of day, which other machines have too.
enum SystemClock {
    /// Since 1970-01-01 UTC.
    static var now: Duration {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}

extension Duration {
    var milliseconds: Int64 { components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000 }
}

func logarithm(_ value: Double) -> Double { log(value) }
