package org.cherche.interop;

import cherche.v1.Common.TextItem;
import cherche.v1.Encoder.EncodeDocumentsRequest;
import cherche.v1.EncoderServiceGrpc;
import cherche.v1.Index.IndexDocumentsRequest;
import cherche.v1.Index.IndexDocumentsResponse;
import cherche.v1.Index.IndexOptions;
import cherche.v1.Index.IndexTarget;
import cherche.v1.Index.SetupIndexRequest;
import cherche.v1.Index.SourceDocument;
import cherche.v1.Index.TextField;
import cherche.v1.IndexServiceGrpc;
import cherche.v1.ModelOuterClass.GetModelRequest;
import cherche.v1.ModelServiceGrpc;
import cherche.v1.RerankerServiceGrpc;
import cherche.v1.Reranker.RerankRequest;
import cherche.v1.Reranker.TextDocuments;
import cherche.v1.Search.SearchRequest;
import cherche.v1.SearchServiceGrpc;
import com.google.protobuf.ByteString;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.okhttp.OkHttpChannelBuilder;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * A round trip with stubs made of protos/: {@code Client ADDRESS TOKEN QUERY DOCUMENT…}. A case returns the positions of
 * the documents in the order of the answer.
 */
public final class Client {

    private final Channel channel;
    private final String query;
    private final List<String> documents;

    private Client(Channel channel, String query, List<String> documents) {
        this.channel = channel;
        this.query = query;
        this.documents = documents;
    }

    public static void main(String[] arguments) throws Exception {
        var opened = OkHttpChannelBuilder.forTarget(arguments[0], InsecureChannelCredentials.create()).build();
        var headers = new Metadata();
        headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + arguments[1]);
        var authorized = ClientInterceptors.intercept(opened, MetadataUtils.newAttachHeadersInterceptor(headers));
        var client = new Client(authorized, arguments[2], List.of(arguments).subList(3, arguments.length));
        Map<String, Callable<Object>> cases = new LinkedHashMap<>();
        cases.put("rerank", client::rerank);
        cases.put("search", client::search);
        cases.put("item error", client::itemError);
        cases.put("call error", () -> client.errorOf("unknown"));
        cases.put("too large", () -> client.errorOf("a".repeat(5 << 20)));
        List<String> answers = new ArrayList<>();
        for (var each : cases.entrySet()) {
            Object answer;
            try {
                answer = each.getValue().call();
            } catch (Exception error) {
                answer = quoted(error.toString());
            }
            answers.add(quoted(each.getKey()) + ": " + answer);
        }
        System.out.println("ANSWERS{" + String.join(", ", answers) + "}");
        opened.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }

    private Object rerank() {
        var items = TextDocuments.newBuilder();
        documents.forEach(text -> items.addItems(TextItem.newBuilder().setText(text)));
        var request = RerankRequest.newBuilder().setQuery(query).setTexts(items).build();
        var answer = RerankerServiceGrpc.newBlockingStub(channel).rerank(request);
        return answer.getScoresList().stream().map(score -> score.getIndex()).toList();
    }

    private Object itemError() {
        var request = EncodeDocumentsRequest.newBuilder()
            .addItems(TextItem.newBuilder().setText(documents.get(0)))
            .addItems(TextItem.newBuilder().setText("a".repeat((1 << 20) + 1)))
            .build();
        var items = EncoderServiceGrpc.newBlockingStub(channel).encodeDocuments(request).getItemsList();
        return quoted(items.get(0).hasStatus() ? "the neighbour failed too" : items.get(1).getStatus().getMessage());
    }

    private Object search() throws Exception {
        var fields = IndexOptions.newBuilder().addFields(TextField.newBuilder().setName("text"));
        var setup = SetupIndexRequest.newBuilder().setIndex("java").setOptions(fields).build();
        IndexServiceGrpc.newBlockingStub(channel).setupIndex(setup);
        var done = new CompletableFuture<Void>();
        var stream = IndexServiceGrpc.newStub(channel).indexDocuments(new StreamObserver<IndexDocumentsResponse>() {
            @Override
            public void onNext(IndexDocumentsResponse answer) {}

            @Override
            public void onError(Throwable error) {
                done.completeExceptionally(error);
            }

            @Override
            public void onCompleted() {
                done.complete(null);
            }
        });
        var target = IndexTarget.newBuilder().setIndex("java").setRefresh(true);
        stream.onNext(IndexDocumentsRequest.newBuilder().setTarget(target).build());
        for (int place = 0; place < documents.size(); place++) {
            var source = ByteString.copyFromUtf8("{\"text\": " + quoted(documents.get(place)) + "}");
            var document = SourceDocument.newBuilder().setId(String.valueOf(place)).setSourceJson(source);
            stream.onNext(IndexDocumentsRequest.newBuilder().setDocument(document).build());
        }
        stream.onCompleted();
        done.get(30, TimeUnit.SECONDS);
        var request = SearchRequest.newBuilder().setIndex("java").setText(query).setRerank(true).build();
        var answer = SearchServiceGrpc.newBlockingStub(channel).search(request);
        return answer.getHitsList().stream().map(hit -> Integer.valueOf(hit.getId())).toList();
    }

    private Object errorOf(String model) {
        try {
            return ModelServiceGrpc.newBlockingStub(channel).getModel(GetModelRequest.newBuilder().setName(model).build());
        } catch (StatusRuntimeException error) {
            return quoted(error.getStatus().getDescription());
        }
    }

    private static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + '"';
    }
}
