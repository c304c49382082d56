package console

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"seatline.dev/pkg/telemetry"
)

// Sealer encrypts secrets with Tink's AEAD. The slug of the connection and the name of the field are
// bound to each, so that a row copied to another connection does not open.
type Sealer struct{ aead tink.AEAD }

// NewSealer reads a keyset in Tink's JSON form, such as EnsureKeyset and `tinkey` write.
func NewSealer(json telemetry.Secret) (*Sealer, error) {
	// Causes are dropped: a parser's error may quote the key.
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader([]byte(json.Reveal()))))
	if err != nil {
		return nil, errors.New("the keyset for secrets is not a Tink keyset in JSON: restore it from your backup, or make a new one and enter all secrets again")
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("the keyset for secrets holds no AEAD key: it must be of a type such as AES256_GCM")
	}
	return &Sealer{primitive}, nil
}

// OpenSealer reads the keyset file at path.
func OpenSealer(path string) (*Sealer, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("keyset for secrets: %w", err)
	}
	s, err := NewSealer(telemetry.Secret(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// EnsureKeyset makes a keyset file that only its owner can read, unless there is one already. Whoever
// loses it has to enter all secrets again, so it belongs into the backup, apart from the database's.
func EnsureKeyset(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("make a keyset: %w", err)
	}
	var content bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&content)); err != nil {
		return fmt.Errorf("make a keyset: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keyset %s: %w", path, err)
	}
	// Complete or not there at all, and of two processes that start together one keyset wins.
	tmp, err := os.CreateTemp(filepath.Dir(path), ".keyset-*") // made with 0600
	if err != nil {
		return fmt.Errorf("keyset %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content.Bytes())
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("keyset %s: %w", path, err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keyset %s: %w", path, err)
	}
	return nil
}

func (s *Sealer) seal(slug, field string, secret telemetry.Secret) ([]byte, error) {
	sealed, err := s.aead.Encrypt([]byte(secret.Reveal()), associated(slug, field))
	if err != nil {
		return nil, fmt.Errorf("seal %s of connection %s: %w", field, slug, err)
	}
	return sealed, nil
}

func (s *Sealer) open(slug, field string, sealed []byte) (telemetry.Secret, error) {
	plain, err := s.aead.Decrypt(sealed, associated(slug, field))
	if err != nil {
		return "", fmt.Errorf("open %s of connection %s: %w", field, slug, err)
	}
	return telemetry.Secret(plain), nil
}

func associated(slug, field string) []byte { return []byte("seatline/" + slug + "/" + field) }

// lastFour is what people are shown of a secret. Of a short one it would give too much away.
func lastFour(secret telemetry.Secret) string {
	s := secret.Reveal()
	if len(s) < 12 {
		return ""
	}
	for i := len(s) - 4; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return ""
		}
	}
	return s[len(s)-4:]
}
