// A round trip with stubs that protoc-gen-go and protoc-gen-go-grpc made of protos/; tests/contract/interop_stubs.py
// copies this file beside them. A case returns the positions of the documents in the order of the answer.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	pb "cherche/v1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var address, token, query = os.Args[1], os.Args[2], os.Args[3]
var documents []string

func rerank(ctx context.Context, channel *grpc.ClientConn) (any, error) {
	items := []*pb.TextItem{}
	for _, text := range documents {
		items = append(items, &pb.TextItem{Text: text})
	}
	texts := &pb.RerankRequest_Texts{Texts: &pb.TextDocuments{Items: items}}
	answer, err := pb.NewRerankerServiceClient(channel).Rerank(ctx, &pb.RerankRequest{Query: query, Documents: texts})
	if err != nil {
		return nil, err
	}
	places := []uint32{}
	for _, score := range answer.Scores {
		places = append(places, score.Index)
	}
	return places, nil
}

func itemError(ctx context.Context, channel *grpc.ClientConn) (any, error) {
	items := []*pb.TextItem{{Text: documents[0]}, {Text: strings.Repeat("a", 1<<20+1)}}
	answer, err := pb.NewEncoderServiceClient(channel).EncodeDocuments(ctx, &pb.EncodeDocumentsRequest{Items: items})
	if err != nil {
		return nil, err
	}
	if answer.Items[0].Status != nil {
		return nil, errors.New("the neighbour failed too")
	}
	return answer.Items[1].Status.GetMessage(), nil
}

func search(ctx context.Context, channel *grpc.ClientConn) (any, error) {
	index, name := pb.NewIndexServiceClient(channel), "go"
	options := &pb.IndexOptions{Fields: []*pb.TextField{{Name: "text"}}}
	if _, err := index.SetupIndex(ctx, &pb.SetupIndexRequest{Index: name, Options: options}); err != nil {
		return nil, err
	}
	stream, err := index.IndexDocuments(ctx)
	if err != nil {
		return nil, err
	}
	target := &pb.IndexDocumentsRequest_Target{Target: &pb.IndexTarget{Index: name, Refresh: true}}
	if err := stream.Send(&pb.IndexDocumentsRequest{Message: target}); err != nil {
		return nil, err
	}
	for place, text := range documents {
		source, _ := json.Marshal(map[string]string{"text": text})
		document := &pb.SourceDocument{Id: strconv.Itoa(place), SourceJson: source}
		message := &pb.IndexDocumentsRequest_Document{Document: document}
		if err := stream.Send(&pb.IndexDocumentsRequest{Message: message}); err != nil {
			return nil, err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	request := &pb.SearchRequest{Index: name, Text: query, Rerank: true}
	answer, err := pb.NewSearchServiceClient(channel).Search(ctx, request)
	if err != nil {
		return nil, err
	}
	places := []int{}
	for _, hit := range answer.Hits {
		place, _ := strconv.Atoi(hit.Id)
		places = append(places, place)
	}
	return places, nil
}

func callError(ctx context.Context, channel *grpc.ClientConn) (any, error) {
	_, err := pb.NewModelServiceClient(channel).GetModel(ctx, &pb.GetModelRequest{Name: "unknown"})
	return status.Convert(err).Message(), nil
}

func tooLarge(ctx context.Context, channel *grpc.ClientConn) (any, error) {
	_, err := pb.NewModelServiceClient(channel).GetModel(ctx, &pb.GetModelRequest{Name: strings.Repeat("a", 5<<20)})
	return status.Convert(err).Message(), nil
}

func main() {
	if err := json.Unmarshal([]byte(os.Args[4]), &documents); err != nil {
		panic(err)
	}
	channel, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	defer channel.Close()
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+token)
	answers := map[string]any{}
	for name, run := range map[string]func(context.Context, *grpc.ClientConn) (any, error){
		"rerank": rerank, "search": search, "item error": itemError, "call error": callError, "too large": tooLarge,
	} {
		answer, err := run(ctx, channel)
		if err != nil {
			answer = err.Error()
		}
		answers[name] = answer
	}
	line, _ := json.Marshal(answers)
	fmt.Println("ANSWERS" + string(line))
}
