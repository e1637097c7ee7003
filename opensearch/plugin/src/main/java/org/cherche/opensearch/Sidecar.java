package org.cherche.opensearch;

import cherche.v1.PluginServiceGrpc;
import cherche.v1.PluginServiceGrpc.PluginServiceFutureStub;
import com.google.common.util.concurrent.FutureCallback;
import com.google.common.util.concurrent.Futures;
import com.google.common.util.concurrent.ListenableFuture;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.NameResolverRegistry;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.okhttp.OkHttpChannelBuilder;
import io.grpc.stub.MetadataUtils;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.common.util.concurrent.ThreadContext;
import org.opensearch.core.action.ActionListener;
import org.opensearch.core.rest.RestStatus;
import org.opensearch.threadpool.Scheduler;
import org.opensearch.threadpool.ThreadPool;

/**
 * Client of the sidecars: calls healthy ones in round-robin order, each call with a deadline. Listeners run on the
 * plugin's thread pool in the caller's thread context.
 *
 * <p>Calls have no side effects, so they can be repeated on another sidecar: queries and reranks are hedged, batches of
 * documents are retried.
 */
class Sidecar implements Closeable {

    static final String POOL = "cherche";
    private static final int MESSAGE_BYTES = 64 << 20;
    /** Of an answer to one search: of many at once, each may be held whole. */
    private static final int SMALL_BYTES = 4 << 20;
    /** gRPC's backoff for an address that refuses connections grows to two minutes: too long for searches. */
    private static final TimeValue RECONNECT = TimeValue.timeValueSeconds(2);
    /**
     * After a deadline; then a call ends without gRPC, which never ended 13 of 500 calls that a sidecar answered again and
     * again.
     */
    private static final TimeValue GRACE = TimeValue.timeValueMillis(100);
    private static final Metadata.Key<String> AUTHORIZATION =
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    /** Headers of the trace that a search or a write belongs to (W3C Trace Context); they are copied into its context. */
    static final List<String> TRACE = List.of("traceparent", "tracestate");

    /** How to reach the sidecars; {@code ca} is null for the JDK's trust store. */
    record Address(List<String> endpoints, boolean tls, Path ca, String token) {}

    private final ThreadContext context;
    private final ExecutorService executor;
    private final ScheduledExecutorService scheduler;
    private final Breaker breaker;
    private final Scheduler.Cancellable reconnecting;
    private volatile Address address;
    private volatile ManagedChannel channel;
    private volatile PluginServiceFutureStub stub;

    Sidecar(Address address, Breaker breaker, ThreadPool pool) {
        this(address, breaker, pool, RECONNECT);
    }

    Sidecar(Address address, Breaker breaker, ThreadPool pool, TimeValue reconnect) {
        this.context = pool.getThreadContext();
        this.executor = pool.executor(POOL);
        this.scheduler = pool.scheduler();
        this.breaker = breaker;
        NameResolverRegistry.getDefaultRegistry().register(new Endpoints());
        connect(address);
        this.reconnecting = pool.scheduleWithFixedDelay(() -> channel.resetConnectBackoff(), reconnect, POOL);
    }

    /** For calls whose answers are those of one search. */
    static PluginServiceFutureStub small(PluginServiceFutureStub stub) {
        return stub.withMaxInboundMessageSize(SMALL_BYTES);
    }

    Breaker breaker() {
        return breaker;
    }

    Address address() {
        return address;
    }

    /** Switches to other sidecars; calls in flight complete on the old ones. */
    synchronized void connect(Address next) {
        ManagedChannel before = channel;
        channel = open(next);
        address = next;
        PluginServiceFutureStub fresh = PluginServiceGrpc.newFutureStub(channel);
        stub = next.token().isEmpty() ? fresh : fresh.withInterceptors(authorize(next.token()));
        if (before != null) {
            before.shutdown();
        }
    }

    /** Makes a call whose work may be slow by itself: its deadline does not pause the calls of others. */
    <R> void slowCall(
        Function<PluginServiceFutureStub, ListenableFuture<R>> method,
        TimeValue deadline,
        ActionListener<R> listener
    ) {
        call(method, deadline, listener, true);
    }

    /**
     * Makes one call.
     *
     * @param listener receives the response or a {@link StatusRuntimeException} exactly once, never on this thread
     */
    <R> void call(
        Function<PluginServiceFutureStub, ListenableFuture<R>> method,
        TimeValue deadline,
        ActionListener<R> listener
    ) {
        call(method, deadline, listener, false);
    }

    private <R> void call(
        Function<PluginServiceFutureStub, ListenableFuture<R>> method,
        TimeValue deadline,
        ActionListener<R> listener,
        boolean isSlow
    ) {
        var restore = context.newRestorableContext(false);
        if (!breaker.tryCall()) {
            var paused = Status.UNAVAILABLE.withDescription("calls to the sidecars are paused after consecutive failures");
            executor.execute(() -> {
                try (var ignored = restore.get()) {
                    listener.onFailure(paused.asRuntimeException());
                }
            });
            return;
        }
        var bounded = traced(stub).withDeadlineAfter(deadline.nanos(), TimeUnit.NANOSECONDS);
        long longest = deadline.nanos() + GRACE.nanos();
        ListenableFuture<R> answer = Futures.withTimeout(method.apply(bounded), longest, TimeUnit.NANOSECONDS, scheduler);
        Futures.addCallback(answer, new FutureCallback<R>() {
            @Override
            public void onSuccess(R result) {
                breaker.succeeded();
                try (var ignored = restore.get()) {
                    listener.onResponse(result);
                }
            }

            @Override
            public void onFailure(Throwable error) {
                Status status = error instanceof TimeoutException
                    ? Status.DEADLINE_EXCEEDED.withDescription("no answer after " + deadline)
                    : Status.fromThrowable(error);
                if (isSlow && status.getCode() == Status.Code.DEADLINE_EXCEEDED) {
                    breaker.undecided();
                } else if (isOutage(status.getCode())) {
                    breaker.failed();
                } else {
                    breaker.succeeded();
                }
                try (var ignored = restore.get()) {
                    listener.onFailure(status.asRuntimeException());
                }
            }
        }, executor);
    }

    /** Whether a status means that no sidecar responded, rather than that the request is invalid. */
    static boolean isOutage(Status.Code code) {
        return code == Status.Code.UNAVAILABLE || code == Status.Code.DEADLINE_EXCEEDED || code == Status.Code.CANCELLED;
    }

    /** Whether the same document may succeed later. */
    static boolean isTransient(Status status) {
        return isOutage(status.getCode()) || status.getCode() == Status.Code.RESOURCE_EXHAUSTED && !isTooLarge(status);
    }

    /** Whether a message is over a limit of gRPC, which has the code of an overload (as grpc-java and gRPC core say it). */
    static boolean isTooLarge(Status status) {
        String said = status.getDescription();
        return status.getCode() == Status.Code.RESOURCE_EXHAUSTED
            && said != null
            && (said.contains("message exceeds maximum size") || said.contains("message larger than max"));
    }

    /** The status of a bulk item whose call failed; clients retry some of them. */
    static RestStatus restStatus(Status status) {
        if (isTooLarge(status)) {
            return RestStatus.REQUEST_ENTITY_TOO_LARGE;
        }
        return switch (status.getCode()) {
            case INVALID_ARGUMENT, OUT_OF_RANGE -> RestStatus.BAD_REQUEST;
            case NOT_FOUND, FAILED_PRECONDITION -> RestStatus.CONFLICT;
            case UNAUTHENTICATED, PERMISSION_DENIED -> RestStatus.BAD_GATEWAY;
            case RESOURCE_EXHAUSTED -> RestStatus.TOO_MANY_REQUESTS;
            case UNAVAILABLE, CANCELLED -> RestStatus.SERVICE_UNAVAILABLE;
            case DEADLINE_EXCEEDED -> RestStatus.GATEWAY_TIMEOUT;
            default -> RestStatus.INTERNAL_SERVER_ERROR;
        };
    }

    @Override
    public void close() {
        reconnecting.cancel();
        channel.shutdownNow();
    }

    private ManagedChannel open(Address to) {
        return OkHttpChannelBuilder.forTarget(Endpoints.target(to.endpoints()), credentials(to))
            .executor(executor)
            .offloadExecutor(executor)
            .maxInboundMessageSize(MESSAGE_BYTES)
            .disableServiceConfigLookUp()
            .defaultServiceConfig(serviceConfig(to.endpoints().size()))
            .enableRetry()
            .build();
    }

    /** The stub with the headers of the caller's trace, if there is one. */
    private PluginServiceFutureStub traced(PluginServiceFutureStub plain) {
        var headers = new Metadata();
        for (String name : TRACE) {
            String value = context.getHeader(name);
            if (value != null) {
                headers.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value);
            }
        }
        return headers.keys().isEmpty() ? plain : plain.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
    }

    private static ClientInterceptor authorize(String token) {
        Metadata headers = new Metadata();
        headers.put(AUTHORIZATION, "Bearer " + token);
        return MetadataUtils.newAttachHeadersInterceptor(headers);
    }

    private static ChannelCredentials credentials(Address to) {
        if (!to.tls()) {
            return InsecureChannelCredentials.create();
        }
        if (to.ca() == null) {
            return TlsChannelCredentials.create();
        }
        try (InputStream ca = Files.newInputStream(to.ca())) {
            return TlsChannelCredentials.newBuilder().trustManager(ca).build();
        } catch (IOException e) {
            throw new UncheckedIOException(ChercheSettings.TLS_CA.getKey() + ": " + to.ca() + " cannot be read", e);
        }
    }

    /** Hedging needs a second sidecar. */
    static Map<String, ?> serviceConfig(int endpoints) {
        Map<String, ?> retry = Map.of(
            "retryPolicy",
            Map.of(
                "maxAttempts", 4.0,
                "initialBackoff", "0.1s",
                "maxBackoff", "2s",
                "backoffMultiplier", 2.0,
                "retryableStatusCodes", List.of("UNAVAILABLE", "RESOURCE_EXHAUSTED")
            ),
            "name", List.of(method("PrepareDocuments"))
        );
        Map<String, ?> hedge = Map.of(
            "hedgingPolicy",
            Map.of("maxAttempts", 2.0, "hedgingDelay", "0.05s", "nonFatalStatusCodes", List.of("UNAVAILABLE")),
            "name", List.of(method("PrepareQuery"), method("RerankHits"))
        );
        return Map.of(
            "loadBalancingConfig", List.of(Map.of("round_robin", Map.of())),
            "healthCheckConfig", Map.of("serviceName", PluginServiceGrpc.SERVICE_NAME),
            "methodConfig", endpoints > 1 ? List.of(retry, hedge) : List.of(retry)
        );
    }

    private static Map<String, ?> method(String name) {
        return Map.of("service", PluginServiceGrpc.SERVICE_NAME, "method", name);
    }
}
