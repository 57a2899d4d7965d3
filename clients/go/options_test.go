package mitosis

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// authority signs certificates for one test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	made := a.issue(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.certificate, a.key = made.Leaf, made.PrivateKey.(*ecdsa.PrivateKey)
	a.pool.AddCert(a.certificate)
	return a
}

// issue makes a certificate, signed by the authority or, before there is one, by itself.
func (a *authority) issue(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: "mitosis test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) server(t *testing.T) tls.Certificate {
	return a.issue(t, &x509.Certificate{
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("192.0.2.1")},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

func (a *authority) client(t *testing.T) tls.Certificate {
	return a.issue(t, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// header answers GetCurrentUser with a header of the call as the user's name.
func header(coordinator *fake, name string) {
	on(coordinator, mitosisv1.AuthService_GetCurrentUser_FullMethodName,
		func(ctx context.Context, _ *mitosisv1.GetCurrentUserRequest) (*mitosisv1.GetCurrentUserResponse, error) {
			received, _ := metadata.FromIncomingContext(ctx)
			text := strings.Join(received.Get(name), "|")
			return &mitosisv1.GetCurrentUserResponse{User: &mitosisv1.User{Username: text}}, nil
		})
}

func TestATokenIsSentWhereNobodyElseCanReadIt(t *testing.T) {
	ca := newAuthority(t)
	plain, encrypted := newFake(t, insecure.NewCredentials()), newFake(t, credentials.NewServerTLSFromCert(new(ca.server(t))))
	trusting := WithTLS(&tls.Config{RootCAs: ca.pool})
	for _, test := range []struct {
		name        string
		coordinator *fake
		address     string
		options     []Option
		sent        bool
	}{
		{"plain text to this machine", plain, loopback, nil, true},
		{"plain text to this machine by name", plain, "localhost:50051", nil, true},
		{"plain text to this machine by IPv6", plain, "[::1]:50051", nil, true},
		{"TLS to this machine", encrypted, loopback, []Option{trusting}, true},
		{"TLS to another machine", encrypted, elsewhere, []Option{trusting}, true},
		{"plain text to another machine that was asked for", plain, elsewhere, []Option{WithInsecure()}, true},
		{"a coordinator without TLS on another machine", plain, elsewhere, nil, false},
		{"a certificate that nobody trusts", encrypted, elsewhere, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			header(test.coordinator, "authorization")
			options := append([]Option{WithToken("abc"), WithRetryPolicy(RetryPolicy{MaxAttempts: 1})}, test.options...)
			user, err := test.coordinator.client(t, test.address, options...).CurrentUser(t.Context())
			switch {
			case test.sent && (err != nil || user.Username != "Bearer abc"):
				t.Errorf("got %v, %v", user, err)
			case !test.sent && !errors.Is(err, ErrUnavailable):
				t.Errorf("got %v, %v", user, err)
			}
		})
	}
}

func TestGRPCOptionsCannotSendATokenInPlainText(t *testing.T) {
	coordinator := newFake(t, insecure.NewCredentials())
	client, err := NewClient(elsewhere, WithToken("abc"), coordinator.dial(),
		WithDialOptions(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if !errors.Is(err, ErrInvalidField) {
		t.Fatalf("got %v, %v", client, err)
	}
}

func TestAClientCertificateProvesWhoTheClientIs(t *testing.T) {
	ca := newAuthority(t)
	coordinator := newFake(t, credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{ca.server(t)},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    ca.pool,
	}))
	header(coordinator, "authorization")
	settings := &tls.Config{RootCAs: ca.pool}
	once := WithRetryPolicy(RetryPolicy{MaxAttempts: 1})
	with := coordinator.client(t, loopback, once, WithTLS(settings), WithClientCertificate(ca.client(t)))
	if _, err := with.CurrentUser(t.Context()); err != nil {
		t.Error(err)
	}
	without := coordinator.client(t, loopback, once, WithTLS(settings))
	if _, err := without.CurrentUser(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a certificate: %v", err)
	}
	if len(settings.Certificates) != 0 {
		t.Error("the caller's settings were changed")
	}
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	for _, address := range []string{
		"", "localhost", "http://localhost:50051", "localhost:", ":50051", "localhost:grpc", "localhost:0", "a:b:c", "h:65536",
	} {
		if client, err := NewClient(address); !errors.Is(err, ErrInvalidField) || client != nil {
			t.Errorf("%q: got %v, %v", address, client, err)
		}
	}
	for _, option := range []Option{WithTLS(nil), WithClientCertificate(tls.Certificate{})} {
		if client, err := NewClient(elsewhere, WithInsecure(), option); !errors.Is(err, ErrInvalidField) || client != nil {
			t.Errorf("got %v, %v", client, err)
		}
	}
}

func TestATokenSourceIsAskedForEveryCall(t *testing.T) {
	var token string
	var locked error
	coordinator, client := pair(t, WithTokenSource(func(context.Context) (string, error) { return token, locked }))
	header(coordinator, "authorization")
	for given, want := range map[string]string{"": "", "first": "Bearer first", "second": "Bearer second"} {
		token = given
		if user, err := client.CurrentUser(t.Context()); err != nil || user.Username != want {
			t.Errorf("got %v, %v, want %q", user, err, want)
		}
	}
	token = "abc\n"
	if _, err := client.CurrentUser(t.Context()); !errors.Is(err, ErrUnauthenticated) || strings.Contains(err.Error(), "abc") {
		t.Errorf("got %v", err)
	}
	locked = errors.New("the safe is locked")
	if _, err := client.CurrentUser(t.Context()); !errors.Is(err, ErrUnauthenticated) || !strings.Contains(err.Error(), "locked") {
		t.Errorf("got %v", err)
	}
}

func TestTheUserAgentNamesTheProgram(t *testing.T) {
	for want, options := range map[string][]Option{
		"mitosis-go grpc-go/": nil,
		"census/2 grpc-go/":   {WithUserAgent("census/2")},
	} {
		coordinator, client := pair(t, options...)
		header(coordinator, "user-agent")
		if user, err := client.CurrentUser(t.Context()); err != nil || !strings.HasPrefix(user.Username, want) {
			t.Errorf("got %v, %v, want %q", user, err, want)
		}
	}
}

func TestSecretsDoNotShowThemselves(t *testing.T) {
	login := Login{Token: "open sesame", User: &User{Username: "ada"}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, login); strings.Contains(text, "sesame") {
			t.Errorf("%s shows %s", verb, text)
		}
	}
	if string(login.Token) != "open sesame" {
		t.Error("the token is lost")
	}
}

func TestGeneratedStubsShareTheConnection(t *testing.T) {
	coordinator, client := pair(t, WithToken("abc"))
	header(coordinator, "authorization")
	stub := mitosisv1.NewAuthServiceClient(client.Conn())
	if answer, err := stub.GetCurrentUser(t.Context(), &mitosisv1.GetCurrentUserRequest{}); err != nil ||
		answer.GetUser().GetUsername() != "Bearer abc" {
		t.Errorf("got %v, %v", answer, err)
	}
	if _, err := stub.Login(t.Context(), &mitosisv1.LoginRequest{}); !errors.Is(err, ErrDisabled) {
		t.Errorf("got %v", err)
	}
}
