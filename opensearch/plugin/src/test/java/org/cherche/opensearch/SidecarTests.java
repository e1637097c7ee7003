package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Plugin.PrepareQueryRequest;
import cherche.v1.Plugin.PrepareQueryResponse;
import cherche.v1.PluginServiceGrpc;
import com.google.common.util.concurrent.SettableFuture;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerCredentials;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.TlsServerCredentials;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.okhttp.OkHttpServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import javax.net.ssl.KeyManagerFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.core.action.ActionListener;
import org.opensearch.threadpool.ScalingExecutorBuilder;
import org.opensearch.threadpool.ThreadPool;

class SidecarTests {

    private static final char[] PASSWORD = "changeit".toCharArray();

    @TempDir
    Path folder;

    private final ThreadPool pool = new ThreadPool(
        Settings.builder().put("node.name", "test").build(),
        new ScalingExecutorBuilder(Sidecar.POOL, 1, 4, TimeValue.timeValueSeconds(10))
    );
    private final List<AutoCloseable> opened = new ArrayList<>();
    private final AtomicReference<String> authorization = new AtomicReference<>("");
    private final AtomicReference<List<String>> trace = new AtomicReference<>();
    private final Breaker breaker = new Breaker(3, TimeUnit.HOURS.toNanos(1), System::nanoTime);

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable one : opened) {
            one.close();
        }
        assertTrue(ThreadPool.terminate(pool, 10, TimeUnit.SECONDS));
    }

    /** A server that returns the text of a query; it never responds to the text {@code sleep}. */
    private String server(ServerCredentials credentials) throws IOException {
        var health = new HealthStatusManager();
        health.setStatus(PluginServiceGrpc.SERVICE_NAME, ServingStatus.SERVING);
        var address = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
        Server server = OkHttpServerBuilder.forPort(address, credentials)
            .addService(health.getHealthService())
            .addService(new PluginServiceGrpc.PluginServiceImplBase() {
                @Override
                public void prepareQuery(PrepareQueryRequest request, StreamObserver<PrepareQueryResponse> observer) {
                    if (!request.getText().equals("sleep")) {
                        observer.onNext(PrepareQueryResponse.newBuilder().setClauseJson(request.getTextBytes()).build());
                        observer.onCompleted();
                    }
                }
            })
            .intercept(new ServerInterceptor() {
                @Override
                public <Q, R> ServerCall.Listener<Q> interceptCall(ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
                    String given = headers.get(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER));
                    authorization.set(given == null ? "" : given);
                    trace.set(Sidecar.TRACE.stream().map(name -> headers.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER))).toList());
                    return next.startCall(call, headers);
                }
            })
            .build()
            .start();
        opened.add(server::shutdownNow);
        return "127.0.0.1:" + server.getPort();
    }

    private Sidecar sidecar(Sidecar.Address address) {
        var sidecar = new Sidecar(address, breaker, pool);
        opened.add(sidecar);
        return sidecar;
    }

    private static Sidecar.Address plain(String... endpoints) {
        return new Sidecar.Address(List.of(endpoints), false, null, "");
    }

    private String call(Sidecar sidecar, String text) throws Exception {
        var result = new CompletableFuture<String>();
        sidecar.call(
            stub -> stub.prepareQuery(PrepareQueryRequest.newBuilder().setText(text).build()),
            TimeValue.timeValueMillis(text.equals("sleep") ? 50 : 20_000),
            ActionListener.wrap(
                response -> result.complete(response.getClauseJson().toStringUtf8() + " in " + pool.getThreadContext().getHeader("who")),
                result::completeExceptionally
            )
        );
        return result.get(30, TimeUnit.SECONDS);
    }

    private Status.Code failure(Sidecar sidecar, String text) {
        var error = assertThrows(ExecutionException.class, () -> call(sidecar, text));
        return Status.fromThrowable(error.getCause()).getCode();
    }

    private static String closed() throws IOException {
        try (var socket = new ServerSocket(0)) {
            return "127.0.0.1:" + socket.getLocalPort();
        }
    }

    @Test
    void passesTheCallersTraceOn() throws Exception {
        Sidecar sidecar = sidecar(new Sidecar.Address(List.of(server(InsecureServerCredentials.create())), false, null, "secret"));
        String parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        try (var ignored = pool.getThreadContext().stashContext()) {
            pool.getThreadContext().putHeader("traceparent", parent);
            pool.getThreadContext().putHeader("tracestate", "vendor=1");
            call(sidecar, "hello");
        }
        assertEquals(List.of(parent, "vendor=1"), trace.get());
        assertEquals("Bearer secret", authorization.get());
        call(sidecar, "hello");
        assertEquals(Arrays.asList(null, null), trace.get());
    }

    @Test
    void answersInTheCallersContext() throws Exception {
        Sidecar sidecar = sidecar(plain(server(InsecureServerCredentials.create())));
        try (var ignored = pool.getThreadContext().stashContext()) {
            pool.getThreadContext().putHeader("who", "ada");
            assertEquals("hello in ada", call(sidecar, "hello"));
        }
        assertEquals("", authorization.get());
    }

    @Test
    void sendsItsToken() throws Exception {
        var address = new Sidecar.Address(List.of(server(InsecureServerCredentials.create())), false, null, "secret");
        call(sidecar(address), "hello");
        assertEquals("Bearer secret", authorization.get());
    }

    @Test
    void aSlowCallBeyondItsDeadlineStopsNoOthers() throws Exception {
        Sidecar sidecar = sidecar(plain(server(InsecureServerCredentials.create())));
        for (int i = 0; i < 4; i++) {
            var result = new CompletableFuture<PrepareQueryResponse>();
            var sleep = PrepareQueryRequest.newBuilder().setText("sleep").build();
            ActionListener<PrepareQueryResponse> listener = ActionListener.wrap(result::complete, result::completeExceptionally);
            sidecar.slowCall(stub -> stub.prepareQuery(sleep), TimeValue.timeValueMillis(50), listener);
            var error = assertThrows(ExecutionException.class, () -> result.get(30, TimeUnit.SECONDS));
            assertEquals(Status.Code.DEADLINE_EXCEEDED, Status.fromThrowable(error.getCause()).getCode());
        }
        assertFalse(breaker.isOpen());
    }

    @Test
    void aCallThatGrpcDoesNotEndIsEnded() throws Exception {
        Sidecar sidecar = sidecar(plain(server(InsecureServerCredentials.create())));
        var never = SettableFuture.<PrepareQueryResponse>create();
        var result = new CompletableFuture<PrepareQueryResponse>();
        ActionListener<PrepareQueryResponse> listener = ActionListener.wrap(result::complete, result::completeExceptionally);
        sidecar.call(stub -> never, TimeValue.timeValueMillis(50), listener);
        var error = assertThrows(ExecutionException.class, () -> result.get(30, TimeUnit.SECONDS));
        assertEquals(Status.Code.DEADLINE_EXCEEDED, Status.fromThrowable(error.getCause()).getCode());
        // The caller is answered first: the cancellation may come after it.
        assertThrows(CancellationException.class, () -> never.get(30, TimeUnit.SECONDS));
    }

    @Test
    void theBreakerStopsCallsThatWouldFail() throws Exception {
        Sidecar sidecar = sidecar(plain(server(InsecureServerCredentials.create())));
        call(sidecar, "hello");
        for (int call = 0; call < 3; call++) {
            assertEquals(Status.Code.DEADLINE_EXCEEDED, failure(sidecar, "sleep"));
        }
        assertTrue(breaker.isOpen());
        assertEquals(Status.Code.UNAVAILABLE, failure(sidecar, "hello"));
    }

    @Test
    void aDeadEndpointIsSkipped() throws Exception {
        Sidecar sidecar = sidecar(plain(closed(), server(InsecureServerCredentials.create()), closed()));
        for (int call = 0; call < 10; call++) {
            assertEquals("hello in null", call(sidecar, "hello"));
        }
    }

    @Test
    void aDeadEndpointIsTriedAgainSoon() throws Exception {
        var attempts = new CountDownLatch(10);
        try (var refusing = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            var accepting = new Thread(() -> {
                while (!refusing.isClosed()) {
                    try {
                        refusing.accept().close();
                        attempts.countDown();
                    } catch (IOException e) {
                        return; // closed: the test is over
                    }
                }
            });
            accepting.start();
            var address = plain("127.0.0.1:" + refusing.getLocalPort());
            var sidecar = new Sidecar(address, breaker, pool, TimeValue.timeValueMillis(20));
            opened.add(sidecar);
            failure(sidecar, "hello");
            assertTrue(attempts.await(30, TimeUnit.SECONDS), "gRPC's own backoff would take minutes");
        }
    }

    @Test
    void switchesToOtherEndpoints() throws Exception {
        Sidecar sidecar = sidecar(plain(closed()));
        assertEquals(Status.Code.UNAVAILABLE, failure(sidecar, "hello"));
        sidecar.connect(plain(server(InsecureServerCredentials.create())));
        assertEquals("hello in null", call(sidecar, "hello"));
    }

    @Test
    void trustsTheConfiguredAuthorityAlone() throws Exception {
        KeyStore keys = certificate();
        String endpoint = server(tls(keys));
        Path authority = folder.resolve("ca.pem");
        byte[] encoded = keys.getCertificate("sidecar").getEncoded();
        String body = Base64.getMimeEncoder(64, new byte[] { '\n' }).encodeToString(encoded);
        Files.writeString(authority, "-----BEGIN CERTIFICATE-----\n" + body + "\n-----END CERTIFICATE-----\n");
        assertEquals("hello in null", call(sidecar(new Sidecar.Address(List.of(endpoint), true, authority, "")), "hello"));
        assertEquals(Status.Code.UNAVAILABLE, failure(sidecar(new Sidecar.Address(List.of(endpoint), true, null, "")), "hello"));
        assertEquals(Status.Code.UNAVAILABLE, failure(sidecar(plain(endpoint)), "hello"));
    }

    @Test
    void onlyOutagesAndOverloadAreTransient() {
        assertTrue(Sidecar.isTransient(Status.UNAVAILABLE));
        assertTrue(Sidecar.isTransient(Status.RESOURCE_EXHAUSTED));
        assertFalse(Sidecar.isTransient(Status.INVALID_ARGUMENT));
        assertFalse(Sidecar.isTransient(Status.UNAUTHENTICATED));
        for (String said : new String[] { "gRPC message exceeds maximum size 4: 5", "Received message larger than max (5 vs. 4)" }) {
            assertFalse(Sidecar.isTransient(Status.RESOURCE_EXHAUSTED.withDescription(said)), said);
        }
        assertFalse(Sidecar.isOutage(Status.Code.RESOURCE_EXHAUSTED));
    }

    private KeyStore certificate() throws Exception {
        Path store = folder.resolve("keys.p12");
        String keytool = Path.of(System.getProperty("java.home"), "bin", "keytool").toString();
        int ended = new ProcessBuilder(
            keytool, "-genkeypair", "-alias", "sidecar", "-keyalg", "EC", "-dname", "CN=sidecar",
            "-ext", "san=ip:127.0.0.1", "-validity", "2", "-storetype", "PKCS12",
            "-keystore", store.toString(), "-storepass", new String(PASSWORD)
        ).redirectErrorStream(true).start().waitFor();
        assertEquals(0, ended);
        return KeyStore.getInstance(store.toFile(), PASSWORD);
    }

    private static ServerCredentials tls(KeyStore keys) throws Exception {
        var factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        factory.init(keys, PASSWORD);
        return TlsServerCredentials.newBuilder().keyManager(factory.getKeyManagers()).build();
    }
}
