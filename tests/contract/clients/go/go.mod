module interop

go 1.24

require (
	cherche v0.0.0
	google.golang.org/grpc v1.76.0
	google.golang.org/protobuf v1.36.10
)

replace cherche => ./cherche
