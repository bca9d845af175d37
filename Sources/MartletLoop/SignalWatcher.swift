import CUV
import Glibc

/// The signals that a daemon answers, as callbacks of the loop. While a watcher is open the signal has no
/// other effect.
package final class SignalWatcher: LoopHandle {
    package enum Signal: Hashable, Sendable, CaseIterable {
        /// SIGTERM: drain and stop.
        case terminate
        /// SIGINT: Ctrl-C.
        case interrupt
        /// SIGHUP: the terminal has gone, or read the configuration again.
        case hangUp

        var number: Int32 {
            switch self {
            case .terminate: SIGTERM
            case .interrupt: SIGINT
            case .hangUp: SIGHUP
            }
        }
    }

    private var onSignal: (() -> Void)?

    package init(_ loop: EventLoop, _ signal: Signal, onSignal: @escaping () -> Void) throws(LoopError) {
        self.onSignal = onSignal
        super.init(loop, uv_signal_t.self)
        let watcher = raw.assumingMemoryBound(to: uv_signal_t.self)
        try check(uv_signal_init(loop.uv, watcher), .watchSignal)
        didOpen()
        let code = uv_signal_start(
            watcher, { handle, _ in owner(handle?.pointee.data, SignalWatcher.self).arrived() }, signal.number
        )
        if code < 0 {
            close()
            throw LoopError(.watchSignal, code: code)
        }
    }

    private func arrived() {
        if !isClosing { onSignal?() }
    }

    override func didClose() { onSignal = nil }
}
