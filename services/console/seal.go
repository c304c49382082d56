package console

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"seatline.dev/pkg/telemetry"
)

// Sealer encrypts secrets with Tink's AEAD. The slug of the connection and the name of the field are
// bound to each, so that a row copied to another connection does not open.
type Sealer struct {
	path string // of the keyset file; "" when it did not come from one

	mu      sync.RWMutex
	aead    tink.AEAD
	primary uint32 // id of the key that seals
}

// NewSealer reads a keyset in Tink's JSON form, such as EnsureKeyset and `tinkey` write.
func NewSealer(json telemetry.Secret) (*Sealer, error) {
	s := &Sealer{}
	return s, s.use(json)
}

func (s *Sealer) use(json telemetry.Secret) error {
	// Causes are dropped: a parser's error may quote the key.
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader([]byte(json.Reveal()))))
	if err != nil {
		return errors.New("the keyset for secrets is not a Tink keyset in JSON: restore it from your backup, or make a new one and enter all secrets again")
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return errors.New("the keyset for secrets holds no AEAD key: it must be of a type such as AES256_GCM")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aead, s.primary = primitive, handle.KeysetInfo().GetPrimaryKeyId()
	return nil
}

// OpenSealer reads the keyset file at path.
func OpenSealer(path string) (*Sealer, error) {
	s := &Sealer{path: path}
	return s, s.Reload()
}

// Reload reads the keyset file again; a keyset that did not come from a file stays.
func (s *Sealer) Reload() error {
	if s.path == "" {
		return nil
	}
	content, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("keyset for secrets: %w", err)
	}
	if err := s.use(telemetry.Secret(content)); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	return nil
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
	return placeKeyset(path, handle, os.Link)
}

// placeKeyset writes a keyset file with place: complete or not at all, and readable by its owner only.
func placeKeyset(path string, handle *keyset.Handle, place func(from, to string) error) error {
	var content bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&content)); err != nil {
		return fmt.Errorf("make a keyset: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keyset %s: %w", path, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".keyset-*") // made with 0600
	if err != nil {
		return fmt.Errorf("keyset %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content.Bytes())
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("keyset %s: %w", path, err)
	}
	// Of two processes that make one together, one keyset wins.
	if err := place(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keyset %s: %w", path, err)
	}
	return nil
}

func (s *Sealer) seal(slug, field string, secret telemetry.Secret) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	sealed, err := s.aead.Encrypt([]byte(secret.Reveal()), associated(slug, field))
	if err != nil {
		return nil, fmt.Errorf("seal %s of connection %s: %w", field, slug, err)
	}
	return sealed, nil
}

// open decrypts with whichever key of the keyset sealed it. What does not open may be sealed with a key that another
// replica has read already: the keyset is then read again.
func (s *Sealer) open(slug, field string, sealed []byte) (telemetry.Secret, error) {
	decrypt := func() ([]byte, error) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.aead.Decrypt(sealed, associated(slug, field))
	}
	plain, err := decrypt()
	if err != nil && s.path != "" && s.Reload() == nil {
		plain, err = decrypt()
	}
	if err != nil {
		return "", fmt.Errorf("open %s of connection %s: %w", field, slug, err)
	}
	return telemetry.Secret(plain), nil
}

// current tells whether the primary key sealed it: Tink puts a 1 and the id of the key in front.
func (s *Sealer) current(sealed []byte) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(sealed) > 5 && sealed[0] == 1 && binary.BigEndian.Uint32(sealed[1:5]) == s.primary
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
